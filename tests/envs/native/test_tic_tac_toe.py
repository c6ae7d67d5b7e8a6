import pytest
import torch
from tensordict import TensorDict

from rl.core import RLError
from rl.envs.checks import check_env_specs
from rl.envs.native.tic_tac_toe import TicTacToeEnv
from rl.envs.transformed import TransformedEnv
from rl.envs.transforms import StepCounter


def play(env, moves):
    """Play `moves` and return the last step."""
    root = env.reset()
    for move in moves:
        root["action"] = torch.tensor(move)
        step = env.step(root)
        root = env.step_mdp(step)
    return step


@pytest.mark.parametrize("single_player", [False, True])
def test_specs(single_player):
    check_env_specs(TicTacToeEnv(single_player=single_player))
    check_env_specs(TransformedEnv(TicTacToeEnv(single_player=single_player), StepCounter()))


def test_a_line_wins():
    last = play(TicTacToeEnv(), [0, 3, 1, 4, 2])
    assert last["next", "board"].tolist() == [[0, 0, 0], [1, 1, -1], [-1, -1, -1]]
    assert last["next", "player0", "reward"].tolist() == [1.0]
    assert last["next", "player1", "reward"].tolist() == [0.0]
    assert last["next", "terminated"].all()
    assert last["next", "mask"].tolist() == [False] * 5 + [True] * 4


@pytest.mark.parametrize(
    ("line", "others"),
    [
        ((0, 4, 8), (1, 2, 3)),
        ((2, 4, 6), (0, 1, 5)),
        ((1, 4, 7), (0, 2, 3)),
        ((6, 7, 8), (0, 1, 3)),
    ],
)
def test_the_second_player_wins_with_any_line(line, others):
    moves = [move for pair in zip(others, line, strict=True) for move in pair]
    last = play(TicTacToeEnv(), moves)
    assert last["next", "player1", "reward"].item() == 1
    assert last["next", "done"].all()


def test_a_full_board_without_a_line_is_a_draw():
    last = play(TicTacToeEnv(), [0, 1, 2, 4, 3, 5, 7, 6, 8])
    assert last["next", "done"].all()
    assert last["next", "player0", "reward"].item() == last["next", "player1", "reward"].item() == 0


def test_the_turn_alternates():
    env = TicTacToeEnv()
    root = env.reset()
    assert root["turn"].tolist() == [0]
    root["action"] = torch.tensor(4)
    assert env.step(root)["next", "turn"].tolist() == [1]


def test_a_taken_square_raises():
    with pytest.raises(RLError, match="choose among the squares of `mask`"):
        play(TicTacToeEnv(), [4, 4])


def test_a_move_after_the_end_raises():
    with pytest.raises(RLError, match="reset games that are `done`"):
        play(TicTacToeEnv(), [0, 3, 1, 4, 2, 8])


def test_batches_of_games_and_their_ends():
    env = TicTacToeEnv()
    env.set_seed(0)
    games = env.reset(TensorDict(batch_size=[50]))
    run = env.rollout(30, auto_reset=False, tensordict=games, break_when_any_done=False)
    assert run.shape == (50, 30)
    done = run["next", "done"].squeeze(-1)
    won = run["next", "player0", "reward"] + run["next", "player1", "reward"]
    assert (won.squeeze(-1)[~done] == 0).all()
    full = (run["next", "board"] != -1).flatten(-2).all(-1)
    assert ((won.squeeze(-1) == 1) | full == done).all()
    # the one who begins wins more often
    assert run["next", "player0", "reward"].sum() > run["next", "player1", "reward"].sum() > 0


def test_finished_games_rest_while_others_go_on():
    env = TicTacToeEnv()
    games = env.reset(TensorDict(batch_size=[20]))
    run = env.rollout(
        9, auto_reset=False, tensordict=games, break_when_any_done=False, break_when_all_done=True
    )
    assert run["next", "done"][:, -1].all()


def test_the_opponent_answers_and_begins_half_of_the_games():
    env = TicTacToeEnv(single_player=True)
    env.set_seed(1)
    games = env.reset(TensorDict(batch_size=[400]))
    marks = (games["board"] == 1).flatten(1).sum(1)
    assert 150 < (marks == 1).sum() < 250
    assert marks.max() == 1
    games = env.step(env.rand_action(games))["next"]
    assert ((games["board"] == 0).flatten(1).sum(1) == 1).all()
    assert ((games["board"] == 1).flatten(1).sum(1) == marks + 1).all()
    assert (games["turn"] == 0).all()


def test_a_position_can_be_set():
    env = TicTacToeEnv()
    position = play(env, [0, 4])["next"].select("board", "turn")
    assert (env.reset(position, set_state=True)["board"] == position["board"]).all()


def test_the_seed_settles_the_games():
    def games():
        env = TicTacToeEnv(single_player=True)
        env.set_seed(7)
        return env.rollout(9)["board"]

    assert torch.equal(games(), games())


def test_actions_are_the_empty_squares():
    env = TicTacToeEnv()
    board = play(env, [4, 0])["next"]
    assert env.cardinality(board) == 7
    assert env.all_actions(board)["action"].tolist() == [1, 2, 3, 5, 6, 7, 8]
    assert env.cardinality() == len(env.all_actions()) == 9
