"""CatFrames: the last N frames as one observation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tensordict import TensorDictBase
from torch import Tensor

from rl.core.contract.keys import NestedKey, in_next
from rl.core.errors import RLError, ShapeError, SpecError
from rl.core.specs import Bounded, Composite, TensorSpec
from rl.envs.transforms.flag_groups import expand_mask, find_mask
from rl.envs.transforms.functional import cat_frames, window_index
from rl.envs.transforms.lazy_buffers import LazyBuffers, buffer_name
from rl.envs.transforms.leaf_spec import map_bounds, unbounded_like
from rl.envs.transforms.segments import time_dim

__all__ = ["CatFrames"]


class CatFrames(LazyBuffers):
    """Concatenate the last `N` frames along `dim`, oldest first (Mnih et al. 2013, section 4.1).

    In an env the transform remembers the frames of the running episode; rows that are reset, all or
    some, start again. On stored data (`forward`, in a buffer) it rebuilds the same windows from
    contiguous trajectories and their done flags; name both the root and the "next" keys then:
    `in_keys=["pixels", ("next", "pixels")]`.

    Reads:
        pixels: `[*B, ..., D, ...]`.
        ("next", "done"): `[*B, T, 1]`, on stored data.
    Writes:
        pixels: `[*B, ..., N * D, ...]`.

    Args:
        N: number of frames.
        dim: negative; the dimension along which frames are joined.
        in_keys: entries to stack; `["pixels"]` by default.
        out_keys: keys written; `in_keys` by default.
        padding: what stands for frames before the episode: `"same"` repeats its first frame,
            `"constant"` gives `padding_value`.
        padding_value: see `padding`.
        as_inverse: work on stored data on the way into a buffer rather than on sampling.
        reset_key: the mask of a partial reset; by default the one that governs the entry.
        done_key: the flag that ends a trajectory in stored data; `"done"` by default.
        future: windows of the next `N` frames, on stored data only.
        mask_key: on stored data, also write there `[*B, T, N]` bool, true for frames made by
            padding.

    Raises:
        ValueError: `dim` is not negative, `N` is not positive, or `padding` has another name.

    Example:
        >>> from tensordict import TensorDict
        >>> stack = CatFrames(N=2, dim=-1, in_keys=["x"])
        >>> td = stack._reset(None, TensorDict({"x": torch.tensor([1.0])}))
        >>> td["x"], stack._step(td, TensorDict({"x": torch.tensor([2.0])}))["x"]
        (tensor([1., 1.]), tensor([1., 2.]))
    """

    batchable = False

    def __init__(  # noqa: PLR0913
        self,
        N: int,  # noqa: N803 (the name that TorchRL users pass)
        dim: int,
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
        padding: str = "same",
        padding_value: float = 0,
        as_inverse: bool = False,
        reset_key: NestedKey | None = None,
        done_key: NestedKey | None = None,
        future: bool = False,
        mask_key: NestedKey | None = None,
    ) -> None:
        _check_arguments(N, dim, padding)
        super().__init__(in_keys=["pixels"] if in_keys is None else in_keys, out_keys=out_keys)
        self.N = N
        self.dim = dim
        self.padding = padding
        self.padding_value = padding_value
        self.as_inverse = as_inverse
        self.reset_key = reset_key
        self.done_key = "done" if done_key is None else done_key
        self.future = future
        self.mask_key = mask_key
        self._frames: dict[NestedKey, Tensor] = {}

    # ---------------------------------------------------------------- state

    def _owns_buffer(self, name: str) -> bool:
        return any(name == buffer_name(key, "frames") for key in self.out_keys)

    def _buffers_changed(self) -> None:
        buffers = dict(self.named_buffers(recurse=False))
        names = {key: buffer_name(key, "frames") for key in self.out_keys}
        self._frames = {key: buffers[name] for key, name in names.items() if name in buffers}

    def _remember(self, key: NestedKey, frames: Tensor) -> None:
        # a copy: what the env gives may be changed by others
        known = self._frames.get(key)
        if known is not None and known.shape == frames.shape:
            known.copy_(frames.detach())
            return
        self._put_buffer(buffer_name(key, "frames"), frames.detach().clone())
        self._frames[key] = getattr(self, buffer_name(key, "frames"))

    def reset(self) -> None:
        """Forget the frames of the running episode."""
        for key in self._frames:
            delattr(self, buffer_name(key, "frames"))
        self._frames = {}

    # ---------------------------------------------------------------- env

    def _step(self, tensordict: TensorDictBase, next_tensordict: TensorDictBase) -> TensorDictBase:
        if self.as_inverse:
            return next_tensordict
        mask = tensordict.get("_step", None)
        for in_key, out_key in zip(self.in_keys, self.out_keys, strict=True):
            frame = next_tensordict.get(in_key)
            frames = self._frames.get(out_key)
            if frames is None:
                raise RLError(
                    f"`CatFrames` has no frames of `{in_key}` before this step: call `env.reset()` "
                    "first."
                )
            size = frame.shape[self.dim]
            new = torch.cat([frames.narrow(self.dim, size, (self.N - 1) * size), frame], self.dim)
            if mask is not None:
                new = torch.where(expand_mask(mask, new), new, frames)
            self._remember(out_key, new)
            next_tensordict.set(out_key, new)
        return next_tensordict

    def _reset(
        self, tensordict: TensorDictBase | None, tensordict_reset: TensorDictBase
    ) -> TensorDictBase:
        if self.as_inverse:
            return tensordict_reset
        for in_key, out_key in zip(self.in_keys, self.out_keys, strict=True):
            frame = tensordict_reset.get(in_key, None)
            if frame is None:
                continue
            frames = self._first(frame)
            place = in_key if self.reset_key is None else self.reset_key
            mask = find_mask(tensordict, () if isinstance(place, str) else place[:-1])
            old = self._frames.get(out_key)
            if mask is not None and old is not None and old.shape == frames.shape:
                frames = torch.where(expand_mask(mask, frames), frames, old)
            self._remember(out_key, frames)
            tensordict_reset.set(out_key, frames)
        return tensordict_reset

    def _first(self, frame: Tensor) -> Tensor:
        if self.padding == "same":
            return torch.cat([frame] * self.N, self.dim)
        filler = torch.full_like(frame, self.padding_value)
        return torch.cat([*[filler] * (self.N - 1), frame], self.dim)

    # ---------------------------------------------------------------- stored data

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write the windows of stored trajectories.

        Raises:
            ShapeError: the data have no time dimension.
            MissingKeyError: an input key or the done flag is absent.
        """
        return tensordict if self.as_inverse else self._unfold(tensordict)

    @property
    def has_inverse(self) -> bool:
        """Whether the transform works on the way into a buffer."""
        return self.as_inverse

    def _inv_call(self, tensordict: TensorDictBase) -> TensorDictBase:
        return self._unfold(tensordict) if self.as_inverse else tensordict

    def _unfold(self, tensordict: TensorDictBase) -> TensorDictBase:
        if tensordict.ndim == 0:
            raise ShapeError(
                "`CatFrames` stacks over time, and the data have batch size []: sample slices of "
                "trajectories (`SliceSampler`), or add the transform to an env."
            )
        dim = time_dim(tensordict)
        done = self._done(tensordict).reshape(tensordict.shape)
        sources = {key: tensordict.get(key, None) for key in self.in_keys}
        for key, value in sources.items():
            if value is None:
                raise self._missing(key, tensordict.keys(True, True))
        for in_key, out_key in zip(self.in_keys, self.out_keys, strict=True):
            tensordict.set(out_key, self._windows(in_key, tensordict, sources, done, dim))
        if self.mask_key is not None:
            index = window_index(done, self.N, dim, future=self.future)
            tensordict.set(self.mask_key, torch.stack([~inside for _, inside in index], -1))
        return tensordict

    def _windows(
        self,
        in_key: NestedKey,
        tensordict: TensorDictBase,
        sources: dict[NestedKey, Tensor],
        done: Tensor,
        dim: int,
    ) -> Tensor:
        options = {
            "done": done,
            "time_dim": dim,
            "padding": self.padding,
            "padding_value": self.padding_value,
        }
        value = sources[in_key]
        if isinstance(in_key, tuple) and in_key[0] == "next" and not self.future:
            root_key = in_key[1] if len(in_key) == 2 else in_key[1:]
            root = sources.get(root_key, tensordict.get(root_key, None))
            if root is not None and root.shape == value.shape:
                # what came before the next frame is the window of the root
                before = cat_frames(root, self.N, self.dim, **options)
                size = value.shape[self.dim]
                kept = before.narrow(self.dim, size, (self.N - 1) * size)
                return torch.cat([kept, value], self.dim)
        return cat_frames(value, self.N, self.dim, future=self.future, **options)

    def _done(self, tensordict: TensorDictBase) -> Tensor:
        done = tensordict.get(in_next(self.done_key), None)
        if done is None:
            done = tensordict.get(self.done_key, None)
        if done is None:
            raise self._missing(in_next(self.done_key), tensordict.keys(True, True))
        return done

    # ---------------------------------------------------------------- specs

    def _transform_spec(self, spec: TensorSpec) -> TensorSpec:
        def repeat(bound: Tensor) -> Tensor:
            return torch.cat([bound] * self.N, self.dim)

        if isinstance(spec, Bounded):
            stacked = map_bounds(spec, repeat)
            if self.padding == "constant":
                low, high = stacked.space.low, stacked.space.high
                value = torch.full_like(low, self.padding_value)
                stacked = Bounded(
                    low=torch.minimum(low, value),
                    high=torch.maximum(high, value),
                    shape=low.shape,
                    dtype=spec.dtype,
                    device=spec.device,
                )
            return stacked
        shape = list(spec.shape)
        shape[self.dim] *= self.N
        return unbounded_like(spec, shape=torch.Size(shape))

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Return the specs of the stacked entries.

        Raises:
            RLError: the windows look ahead, which an env cannot do.
            MissingKeyError: an input key is not an entry of the env.
        """
        if self.future:
            raise RLError(
                "`CatFrames(future=True)` looks ahead and works on stored data only: give it to a "
                "buffer, or drop `future=True`."
            )
        return output_spec if self.as_inverse else super().transform_output_spec(output_spec)


def _check_arguments(n: int, dim: int, padding: str) -> None:
    if n < 1:
        raise SpecError(f"`N` is {n}: stack at least one frame.")
    if dim >= 0:
        raise SpecError(
            f"`dim` is {dim}: count it from the end (a negative number), so that it does not "
            "depend on the batch size of the env."
        )
    if padding not in ("same", "constant"):
        raise SpecError(f'`padding` is {padding!r}: give "same" or "constant".')
