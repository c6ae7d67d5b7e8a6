"""Frame stacks of a buffer that stores each frame once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tensordict import TensorDictBase
from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.errors import MissingKeyError, RLError, ShapeError, SpecError
from rl.core.specs import Composite
from rl.data.transforms.memory import WriteMemory
from rl.data.transforms.neighbours import Neighbours, buffer_of
from rl.data.transforms.trajectories import TRAJ_KEY, any_feature

__all__ = ["StackFrames"]


class StackFrames(WriteMemory):
    """Store single frames, and give out the stacks that `CatFrames` made in the env.

    On the way in, a stack is cut to its newest frame; on sampling, the frames before it are read
    from the rows before, so that random transitions have whole stacks, equal to those of the env.
    Frames before the start of an episode are padded as in the env. A buffer of `N` frames per
    observation becomes about `N` times smaller.

    The rows before must be those of the same env: several envs need a storage with `ndim=2`. When
    the oldest rows of a full buffer are overwritten, the `N - 1` last of them are kept for the
    stacks of the rows that follow.

    Args:
        N: number of frames.
        dim: negative; the dimension along which frames are joined.
        in_keys: the stored entries, single frames; `["pixels", ("next", "pixels")]` by default. An
            entry below `"next"` continues the frames of the same entry at the root.
        out_keys: the stacks; `in_keys` by default. They are not stored.
        padding: what stands for frames before the episode: `"same"` repeats its first frame,
            `"constant"` gives `padding_value`.
        padding_value: see `padding`.
        done_key: the stored flag that ends an episode; `("next", "done")` by default.
        traj_key: stored ids of trajectories, used where there are some.
        init_key: the stored flag of first steps (`InitTracker` writes it), used where there is one
            to find rows that do not follow each other; they raise.

    Reads:
        index: `[batch]` or `[batch, ndim]`, as a `TensorDictReplayBuffer` notes it.
        pixels, ("next", "pixels"): `[batch, ..., D, ...]`; stacks or single frames on writing.
    Writes:
        pixels, ("next", "pixels"): `[batch, ..., N * D, ...]`.

    Raises:
        SpecError: `N` is not positive, `dim` is not negative, or `padding` has another name.

    Example:
        >>> from tensordict import TensorDict
        >>> from rl.data import LazyTensorStorage, TensorDictReplayBuffer
        >>> rb = TensorDictReplayBuffer(
        ...     storage=LazyTensorStorage(9), transform=StackFrames(N=2, dim=-1, in_keys=["x"])
        ... )
        >>> stacks = torch.tensor([[0, 0], [0, 1], [1, 2]])
        >>> done = torch.zeros(3, 1, dtype=torch.bool)
        >>> index = rb.extend(TensorDict({"x": stacks, "next": {"done": done}}, [3]))
        >>> rb.storage[:]["x"].tolist(), rb[:]["x"].tolist()
        ([[0], [1], [2]], [[0, 0], [0, 1], [1, 2]])
    """

    #: reads rows that are not in the batch
    reads_rows = True

    def __init__(  # noqa: PLR0913
        self,
        N: int,  # noqa: N803 (as `CatFrames`)
        dim: int,
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
        padding: str = "same",
        padding_value: float = 0,
        *,
        done_key: NestedKey = ("next", "done"),
        traj_key: NestedKey | None = TRAJ_KEY,
        init_key: NestedKey | None = "is_init",
    ) -> None:
        if N < 1:
            raise SpecError(f"`N` is {N}: stack at least one frame.")
        if dim >= 0:
            raise SpecError(f"`dim` is {dim}: count it from the end (a negative number).")
        if padding not in ("same", "constant"):
            raise SpecError(f'`padding` is {padding!r}: give "same" or "constant".')
        keys = ["pixels", ("next", "pixels")] if in_keys is None else in_keys
        super().__init__(in_keys=keys, out_keys=out_keys)
        self.N = N
        self.dim = dim
        self.padding = padding
        self.padding_value = padding_value
        self.done_key = done_key
        self.traj_key = traj_key
        self.init_key = init_key

    # ---------------------------------------------------------------- writing

    @property
    def has_inverse(self) -> bool:
        """True: stacks are cut to one frame."""
        return True

    def _inv_call(self, tensordict: TensorDictBase) -> TensorDictBase:
        for in_key, out_key in zip(self.in_keys, self.out_keys, strict=True):
            stack = tensordict.get(out_key, None)
            if stack is None:
                continue
            if in_key == out_key or tensordict.get(in_key, None) is None:
                tensordict.set(in_key, self._newest(out_key, stack))
            if in_key != out_key:
                tensordict = tensordict.exclude(out_key)
        return tensordict

    def _newest(self, key: NestedKey, stack: Tensor) -> Tensor:
        size, rest = divmod(stack.shape[self.dim], self.N)
        if rest or size == 0:
            raise ShapeError(
                f"`{key}` has shape {list(stack.shape)}, expected a stack of {self.N} frames along "
                f"dimension {self.dim}: write what `CatFrames(N={self.N}, dim={self.dim})` gave, "
                "or name the single frames with `in_keys` and the stacks with `out_keys`."
            )
        return stack.narrow(self.dim, (self.N - 1) * size, size)

    # --------------------------------------------------------------- sampling

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write the stacks of a batch.

        Raises:
            RLError: no buffer holds the transform, its rows have no order, or the rows are
                multi-step transitions.
            MissingKeyError: `"index"` or an input key is missing.
        """
        buffer = buffer_of(self)
        index = tensordict.get("index", None)
        if index is None:
            raise MissingKeyError(
                "`StackFrames` reads `index`, which the batch lacks: use a "
                "`TensorDictReplayBuffer`, or `writer=TensorDictRoundRobinWriter()`."
            )
        if any(key[0] == "next" for key in self.in_keys if isinstance(key, tuple)):
            _check_single_steps(tensordict)
        rows = self._rows()
        elements = buffer.storage.ravel(index).reshape(-1)
        before, real = rows.previous(elements, self.N - 1)
        self._check_starts(rows, before, real)
        stacks = {
            source: self._stacks(rows, source, elements, before, real)
            for source in map(_root, self.in_keys)
        }
        for in_key, out_key in zip(self.in_keys, self.out_keys, strict=True):
            source = _root(in_key)
            stack = stacks[source]
            if source != in_key:  # the next frame follows that of the step itself
                stack = torch.cat([stack[:, 1:], rows.take(in_key, elements).unsqueeze(1)], 1)
            joined = self._join(stack)
            tensordict.set(out_key, joined.reshape(*tensordict.shape, *joined.shape[1:]))
        return tensordict

    def _stacks(
        self, rows: Neighbours, key: NestedKey, elements: Tensor, before: Tensor, real: Tensor
    ) -> Tensor:
        """Return the frames up to that of each step, oldest first, `[n, N, ...]`."""
        places = torch.cat([before, elements.unsqueeze(1)], 1)
        frames = rows.take(key, places.reshape(-1)).unflatten(0, places.shape)
        if self.padding == "constant":
            inside = torch.cat([real, torch.ones(len(real), 1, dtype=torch.bool)], 1).to(
                frames.device
            )
            inside = inside.reshape(*inside.shape, *[1] * (frames.ndim - 2))
            frames = torch.where(inside, frames, torch.full_like(frames, self.padding_value))
        return frames

    def _join(self, frames: Tensor) -> Tensor:
        """Join `[n, N, ...]` along `dim`; a view if that is the first feature dimension."""
        place = frames.ndim - 1 + self.dim
        return frames.movedim(1, place).flatten(place, place + 1)

    def _rows(self) -> Neighbours:
        buffer = buffer_of(self)
        return Neighbours(
            buffer.storage,
            buffer.writer,
            self.done_key,
            self.traj_key,
            owner="StackFrames",
            past=self.memory,
        )

    def _check_starts(self, rows: Neighbours, before: Tensor, real: Tensor) -> None:
        """Raise if a stack begins where the rows say that no episode does."""
        if self.init_key is None or not rows.stores(self.init_key) or self.N == 1:
            return
        starts = before[:, 0][~real[:, 0]]
        starts = starts[rows.has_row_before(starts)]
        if not any_feature(rows.take(self.init_key, starts), 1).all():
            raise RLError(
                f"A row continues an episode (`{self.init_key}` is false), and the row before it "
                "is of another: write several envs into a storage with `ndim=2`, and all steps of "
                "an episode in their order."
            )

    # ----------------------------------------------------------------- memory

    def before_write(self, count: int) -> None:
        """Keep the frames that the oldest rows will need and that are about to be overwritten."""
        buffer = buffer_of(self)
        storage = buffer.storage
        overwritten = storage.num_rows + count - storage.max_rows
        if overwritten <= 0 or storage.num_rows == 0 or count > storage.max_rows or self.N == 1:
            return
        known = 0 if self.memory is None else len(self.memory)
        first = max(overwritten - (self.N - 1), -known)
        rows = self._rows()
        keys = [_root(key) for key in self.in_keys]
        if self.init_key is not None and rows.stores(self.init_key):
            keys.append(self.init_key)
        self.memory = rows.rows(torch.arange(first, overwritten), keys)

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Refuse to work in an env.

        Raises:
            RLError: always.
        """
        raise RLError(
            "`StackFrames` reads the rows of a buffer; in an env, stack with `CatFrames` of "
            "rl-envs: pip install rl-envs."
        )


def _root(key: NestedKey) -> NestedKey:
    """Return the entry at the root that an entry below `"next"` continues."""
    if isinstance(key, str) or key[0] != "next":
        return key
    return key[1] if len(key) == 2 else key[1:]


def _check_single_steps(data: TensorDictBase) -> None:
    steps = data.get("steps_to_next_obs", None)
    if steps is not None and bool((steps != 1).any()):
        raise RLError(
            "`StackFrames` stacks the frames before the next observation, which a buffer of "
            "multi-step transitions does not hold: stack root entries only (`in_keys=[...]` "
            "without `next`), or store the stacks."
        )
