"""`TicTacToeEnv`: noughts and crosses in torch, whose whole state travels in the TensorDict."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from rl.core import Bounded, Categorical, Composite, RLError, Unbounded
from rl.envs.base import EnvBase

__all__ = ["TicTacToeEnv"]

#: the rows, columns and diagonals of a board of nine squares
_LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))
_EMPTY = -1


class TicTacToeEnv(EnvBase):
    """Two players set marks on a board of 3 x 3 squares; three of one player in a line win.

    Board, turn and mask are entries of the TensorDict, so the env steps whatever batch it is given
    and can be asked from any position. Who makes a line gets reward 1, all else is 0. A game ends
    with a line or a full board. `rand_action` draws among the empty squares.

    Args:
        single_player: whether a random opponent plays for player 1. It answers within the same
            step, and makes the first move in half of the games.
        device: where data is delivered.

    Reads:
        board: [*B, 3, 3] int32, -1 for an empty square, else the player.
        turn: [*B, 1] int32, the player to move.
        action: [*B] int64, the square from 0 to 8, row by row.
    Writes:
        board, turn: as read.
        mask: [*B, 9] bool, true for empty squares.
        ("player0", "reward"), ("player1", "reward"): [*B, 1] float32.
        done, terminated: [*B, 1] bool.

    Raises:
        RLError: at `step`, a square is taken or the game is over.

    Example:
        >>> env = TicTacToeEnv()
        >>> games = env.reset(TensorDict(batch_size=[4]))
        >>> games = env.rollout(9, auto_reset=False, tensordict=games, break_when_any_done=False)
        >>> games["board"].shape
        torch.Size([4, 9, 3, 3])
    """

    batch_locked = False

    def __init__(
        self, *, single_player: bool = False, device: torch.device | str | int | None = None
    ) -> None:
        super().__init__(device=device)
        self.single_player = single_player
        self._lines = torch.tensor(_LINES, device=self.device)
        self._generator = torch.Generator(device=device or "cpu")
        self._generator.manual_seed(torch.initial_seed())
        self._make_specs()

    def _make_specs(self) -> None:
        device = self.device
        board = Composite(
            board=Bounded(_EMPTY, 1, shape=(3, 3), dtype=torch.int32, device=device),
            turn=Categorical(2, shape=(1,), dtype=torch.int32, device=device),
            mask=Categorical(2, shape=(9,), dtype=torch.bool, device=device),
            device=device,
        )
        self.observation_spec = board
        self.state_spec = board.clone()
        self.action_spec = Categorical(9, shape=(), dtype=torch.int64, device=device)
        self.reward_spec = Composite(
            {
                name: Composite(reward=Unbounded(shape=(1,), device=device), device=device)
                for name in ("player0", "player1")
            },
            device=device,
        )

    def _reset(self, tensordict: TensorDictBase | None = None, **kwargs: Any) -> TensorDictBase:
        size = torch.Size([]) if tensordict is None else tensordict.batch_size
        if kwargs.get("set_state"):
            board, turn = tensordict["board"].clone(), tensordict["turn"].clone()
            return self._position(board, turn)
        board = torch.full((*size, 3, 3), _EMPTY, dtype=torch.int32, device=self.device)
        turn = torch.zeros((*size, 1), dtype=torch.int32, device=self.device)
        if self.single_player:
            begins = torch.rand(size, generator=self._generator, device=self.device) < 0.5
            board = self._answer(board, begins)
        return self._position(board, turn)

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        board, turn, action = tensordict["board"], tensordict["turn"], tensordict["action"]
        self._check(board, action)
        player = turn.squeeze(-1)
        board = _marked(board, action, player)
        won = [self._has_line(board, 0), self._has_line(board, 1)]
        if self.single_player:
            board = self._answer(board, ~(won[0] | _is_full(board)))
            won[1] = self._has_line(board, 1)
        else:
            turn = 1 - turn
        following = self._position(board, turn)
        done = (won[0] | won[1] | _is_full(board)).unsqueeze(-1)
        rewards = [line.unsqueeze(-1).float() for line in won]
        return following.update(
            {
                "player0": TensorDict({"reward": rewards[0]}, following.batch_size),
                "player1": TensorDict({"reward": rewards[1]}, following.batch_size),
                "done": done,
                "terminated": done.clone(),
            }
        )

    def _position(self, board: Tensor, turn: Tensor) -> TensorDict:
        mask = board.flatten(-2) == _EMPTY
        content = {"board": board, "turn": turn, "mask": mask}
        return TensorDict(content, board.shape[:-2], device=self.device)

    def _answer(self, board: Tensor, moves: Tensor) -> Tensor:
        """Return the boards after a random move of player 1 on those where `moves` is true."""
        square = self._draw(board.flatten(-2) == _EMPTY)
        return torch.where(moves[..., None, None], _marked(board, square, 1), board)

    def _draw(self, mask: Tensor) -> Tensor:
        """Return a random square of those in `mask`; any, where there is none."""
        score = torch.rand(mask.shape, generator=self._generator, device=mask.device)
        return score.masked_fill(~mask, -1.0).argmax(-1)

    def _has_line(self, board: Tensor, player: int) -> Tensor:
        return (board.flatten(-2)[..., self._lines] == player).all(-1).any(-1)

    def _check(self, board: Tensor, action: Tensor) -> None:
        taken = board.flatten(-2).gather(-1, action.unsqueeze(-1)).squeeze(-1) != _EMPTY
        over = self._has_line(board, 0) | self._has_line(board, 1)
        if (taken | over).any():
            raise RLError(
                "A move on a square that is taken, or after the end of the game: choose among the "
                "squares of `mask`, and reset games that are `done`. `env.rand_action(tensordict)` "
                "does; a policy may read `mask`, as `MaskedCategorical` does."
            )

    def rand_action(self, tensordict: TensorDictBase | None = None) -> TensorDictBase:
        """Write the number of a random empty square into `tensordict`.

        Where there is none, or no `mask`, any number is written.
        """
        if tensordict is None or "mask" not in tensordict:
            return super().rand_action(tensordict)
        return tensordict.set("action", self._draw(tensordict["mask"]))

    def all_actions(self, tensordict: TensorDictBase | None = None) -> TensorDictBase:
        """Return the empty squares of the board in `tensordict`, `[n]`; all squares if None."""
        if tensordict is None:
            return super().all_actions()
        squares = tensordict["mask"].nonzero().squeeze(-1)
        return TensorDict({"action": squares}, squares.shape, device=self.device)

    def cardinality(self, tensordict: TensorDictBase | None = None) -> int:
        """Return how many squares of the board in `tensordict` are empty; 9 if None."""
        return super().cardinality() if tensordict is None else int(tensordict["mask"].sum())

    def _set_seed(self, seed: int | None) -> None:
        if seed is not None:
            self._generator.manual_seed(seed)

    def resume_state(self) -> dict[str, Any]:
        """Return the state of the generator; the game's own travels in the TensorDict."""
        return {"generator": self._generator.get_state()}

    def load_resume_state(self, state: dict[str, Any]) -> None:
        """Restore the generator."""
        self._generator.set_state(state["generator"].cpu())


def _marked(board: Tensor, square: Tensor, player: Tensor | int) -> Tensor:
    """Return the board with a mark of `player` on `square`."""
    flat = board.flatten(-2)
    mark = torch.as_tensor(player, dtype=board.dtype, device=board.device).expand(square.shape)
    return flat.scatter(-1, square.unsqueeze(-1), mark.unsqueeze(-1)).unflatten(-1, (3, 3))


def _is_full(board: Tensor) -> Tensor:
    return (board != _EMPTY).flatten(-2).all(-1)
