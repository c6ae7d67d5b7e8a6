"""The search of the guide never loses a game of noughts and crosses."""

from functools import cache
from pathlib import Path

import pytest
import torch

from rl.envs import TicTacToeEnv

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "tree_search.md"
LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))


@cache
def value(board, turn):
    """Return what perfect play gives the player to move: 1, 0 or -1."""
    for a, b, c in LINES:
        if board[a] != -1 and board[a] == board[b] == board[c]:
            return 1 if board[a] == turn else -1
    return max((after(board, turn, move) for move in legal(board)), default=0)


def after(board, turn, move):
    return -value((*board[:move], turn, *board[move + 1 :]), 1 - turn)


def legal(board):
    return [square for square in range(9) if board[square] == -1]


@pytest.fixture
def guide():
    code = GUIDE.read_text().split("```python\n")[1].split("```")[0]
    namespace = {}
    exec(compile(code, str(GUIDE), "exec"), namespace)
    return namespace


@pytest.mark.timeout(180)
@pytest.mark.parametrize("opponent", ["random", "perfect"])
@pytest.mark.parametrize("player", [0, 1])
def test_it_never_loses(guide, player, opponent):
    env, generator = TicTacToeEnv(), torch.Generator().manual_seed(0)
    env.set_seed(0)
    position = env.reset()
    while not position["done"]:
        board, turn = tuple(position["board"].flatten().tolist()), int(position["turn"])
        moves = legal(board)
        if turn == player:
            move = int(guide["choose"](guide["search"](env, position, simulations=300)))
            assert after(board, turn, move) >= 0, (board, move)
        else:
            if opponent == "perfect":
                moves = [m for m in moves if after(board, turn, m) == value(board, turn)]
            move = moves[int(torch.randint(len(moves), (), generator=generator))]
        step = env.step(position.set("action", torch.tensor(move)))
        position = env.step_mdp(step)
