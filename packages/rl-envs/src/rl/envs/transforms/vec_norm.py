"""VecNorm: normalisation by running statistics that forget exponentially."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Self

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from rl.core.contract.keys import NestedKey, as_key_list
from rl.core.errors import MissingKeyError, RLError, ShapeError, SpecError
from rl.core.specs import Composite, TensorSpec
from rl.core.transform import Compose
from rl.envs.transforms.flag_groups import batch_mask, find_mask
from rl.envs.transforms.lazy_buffers import LazyBuffers, buffer_name
from rl.envs.transforms.leaf_spec import leaf_keys, unbounded_like
from rl.envs.transforms.observation_norm import ObservationNorm

__all__ = ["VecNorm", "VecNormV2"]

PARTS = ("mean", "m2", "count")


@dataclass(frozen=True)
class RunningStats:
    """Weighted mean, sum of squared deviations and weight of one entry, updated in place.

    A new batch of n rows has weight n, what came before is multiplied by the decay. The update is
    that of Chan, Golub & LeVeque (1979), equation 2.1, with a decayed first part: it gives what
    decayed sums of x and x² give, without their cancellation.
    """

    mean: Tensor
    m2: Tensor
    count: Tensor

    def update_one(self, row: Tensor, decay: float) -> None:
        """Take in one row, `[*shape]`."""
        self.count.mul_(decay).add_(1)
        delta = row - self.mean
        self.mean.addcdiv_(delta, self.count)
        self.m2.mul_(decay).addcmul_(delta, row - self.mean)

    def update(self, rows: Tensor, decay: float) -> None:
        """Take in `rows`, `[n, *shape]`."""
        n = rows.shape[0]
        if n == 0:
            return
        self.count.mul_(decay).add_(n)
        batch_mean = rows.mean(0)
        delta = batch_mean - self.mean
        self.mean.add_(delta * (n / self.count))
        weight = (self.count - n) * n / self.count
        self.m2.mul_(decay).add_((rows - batch_mean).square().sum(0)).addcmul_(
            delta.square(), weight
        )

    def scale(self, eps: float) -> Tensor:
        """Return the standard deviation, `eps` at least."""
        return (self.m2 / self.count).sqrt_().clamp_min_(eps)


class VecNorm(LazyBuffers):
    """Normalise entries by the running mean and standard deviation of what passed through.

    Every reset and step first enters the statistics and is then normalised by them: `y = (x - mean)
    / std`. On a partial reset only the rows that were reset enter. In `eval()` mode, or after
    `freeze()`, the statistics stand still.

    Reads:
        each of `in_keys`: `[*B, *shape]`.
    Writes:
        each of `out_keys`: `[*B, *shape]`.

    Args:
        in_keys: entries to normalise; by default `observation` and `reward`, as far as they exist.
        out_keys: keys written; `in_keys` by default.
        shared_td: statistics in shared memory, see `build_td_for_shared_vecnorm`.
        lock: a lock around each update, for statistics that several processes share.
        decay: factor on the weight of the past at every update, in (0, 1].
        eps: lower bound of the standard deviation.
        shapes: shape of the statistics per key; by default all dimensions that are not batch
            dimensions.
        new_api: accepted for code written for TorchRL; both values mean the same here.

    Raises:
        SpecError: `decay` is not in (0, 1], or the numbers of keys and shapes differ.

    Example:
        >>> norm = VecNorm(in_keys=["x"], decay=1.0)
        >>> for x in (1.0, 2.0):
        ...     td = norm._reset(None, TensorDict({"x": torch.tensor([x])}))
        >>> td["x"]
        tensor([1.])
    """

    batchable = False

    def __init__(
        self,
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
        shared_td: TensorDictBase | None = None,
        lock: AbstractContextManager | None = None,
        decay: float = 0.9999,
        eps: float = 1e-4,
        shapes: Sequence[torch.Size] | None = None,
        new_api: bool | None = None,
    ) -> None:
        if not 0.0 < decay <= 1.0:
            raise SpecError(f"`decay` is {decay}: give a number in (0, 1].")
        self._optional_keys = in_keys is None
        super().__init__(
            in_keys=["observation", "reward"] if in_keys is None else in_keys, out_keys=out_keys
        )
        if shapes is not None and len(shapes) != len(self.in_keys):
            raise SpecError(
                f"`shapes` has {len(shapes)} entries, expected {len(self.in_keys)}: give one per "
                f"key of `in_keys={self.in_keys}`."
            )
        self.decay = decay
        self.eps = eps
        self.lock = lock
        self.shapes = None if shapes is None else [torch.Size(shape) for shape in shapes]
        self.frozen = False
        self._stats: dict[NestedKey, RunningStats] = {}
        if shared_td is not None:
            self._adopt(shared_td)

    # ---------------------------------------------------------------- statistics

    def _adopt(self, shared_td: TensorDictBase) -> None:
        for key in self.in_keys:
            for part in PARTS:
                name = buffer_name(key, part)
                if name not in shared_td:
                    raise MissingKeyError(
                        f"`shared_td` lacks `{name}`: make it with "
                        "`VecNorm.build_td_for_shared_vecnorm(env, keys=in_keys)`."
                    )
                self._put_buffer(name, shared_td[name])
        self._buffers_changed()

    def _owns_buffer(self, name: str) -> bool:
        return any(name == buffer_name(key, part) for key in self.in_keys for part in PARTS)

    def _buffers_changed(self) -> None:
        buffers = dict(self.named_buffers(recurse=False))
        names = {key: [buffer_name(key, part) for part in PARTS] for key in self.in_keys}
        self._stats = {
            key: RunningStats(*(buffers[name] for name in parts))
            for key, parts in names.items()
            if all(name in buffers for name in parts)
        }

    def _open(self, key: NestedKey, shape: torch.Size, like: Tensor | TensorSpec) -> RunningStats:
        dtype = like.dtype if like.dtype.is_floating_point else torch.get_default_dtype()
        for part, part_shape in zip(PARTS, (shape, shape, torch.Size(())), strict=True):
            zeros = torch.zeros(part_shape, dtype=dtype, device=like.device)
            self._put_buffer(buffer_name(key, part), zeros)
        self._buffers_changed()
        return self._stats[key]

    def _shape(self, key: NestedKey, like: Tensor | TensorSpec, batch_ndim: int) -> torch.Size:
        if self.shapes is None:
            return like.shape[batch_ndim:]
        shape = self.shapes[self.in_keys.index(key)]
        if like.shape[len(like.shape) - len(shape) :] != shape:
            raise ShapeError(
                f"`{key}` has shape {list(like.shape)}, expected it to end in {list(shape)}: "
                "correct `shapes`."
            )
        return shape

    # ---------------------------------------------------------------- data

    def _call(self, next_tensordict: TensorDictBase) -> TensorDictBase:
        return self._normalise(next_tensordict, None)

    def _step(self, tensordict: TensorDictBase, next_tensordict: TensorDictBase) -> TensorDictBase:
        masked = "_step" in tensordict.keys()  # noqa: SIM118 (a TensorDict)
        return self._normalise(next_tensordict, tensordict if masked else None, "_step")

    def _reset(
        self, tensordict: TensorDictBase | None, tensordict_reset: TensorDictBase
    ) -> TensorDictBase:
        return self._normalise(tensordict_reset, tensordict)

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Update the statistics with the data, unless frozen, and normalise them.

        Raises:
            MissingKeyError: a key that was given is absent.
        """
        if not self._optional_keys:
            return super().forward(tensordict)
        return self._call(tensordict)

    def _normalise(
        self,
        tensordict: TensorDictBase,
        root: TensorDictBase | None,
        mask_name: str = "_reset",
    ) -> TensorDictBase:
        """Normalise each key; the rows that the mask of `root` leaves out are not counted."""
        update = self.training and not self.frozen
        with self.lock or nullcontext():
            for key, out_key in zip(self.in_keys, self.out_keys, strict=True):
                value = tensordict.get(key, None)
                if value is None:
                    continue
                stats = self._stats.get(key)
                if stats is None:
                    stats = self._open(key, self._shape(key, value, tensordict.ndim), value)
                if update:
                    mask = find_mask(root, () if isinstance(key, str) else key[:-1], mask_name)
                    if mask is None and value.shape == stats.mean.shape:
                        stats.update_one(value, self.decay)
                    else:
                        rows = self._rows(value, stats, mask, tensordict)
                        stats.update(rows, self.decay)
                elif not stats.count:
                    raise self._empty(key)
                tensordict.set(out_key, (value - stats.mean) / stats.scale(self.eps))
        return tensordict

    @staticmethod
    def _rows(
        value: Tensor, stats: RunningStats, mask: Tensor | None, tensordict: TensorDictBase
    ) -> Tensor:
        if mask is not None:
            value = value[batch_mask(mask, tensordict.batch_size)]
        return value.to(stats.mean.dtype).reshape(-1, *stats.mean.shape)

    def _empty(self, key: NestedKey) -> RLError:
        return RLError(
            f"`VecNorm` has no statistics of `{key}` and may not update them: run the env in "
            "training mode before `freeze()` or `eval()`, or load a state dict."
        )

    # ---------------------------------------------------------------- use of the statistics

    def freeze(self) -> Self:
        """Stop updating; the transform goes on normalising with what it knows.

        Raises:
            RLError: nothing is known of an entry.
        """
        for key, stats in self._stats.items():
            if not stats.count:
                raise self._empty(key)
        self.frozen = True
        return self

    def unfreeze(self) -> Self:
        """Update again."""
        self.frozen = False
        return self

    def frozen_copy(self) -> VecNorm:
        """Return an independent copy whose statistics stand still."""
        return self.clone().freeze()

    @property
    def loc(self) -> TensorDict:
        """The running mean of each input key."""
        return TensorDict({key: stats.mean.clone() for key, stats in self._stats.items()})

    @property
    def scale(self) -> TensorDict:
        """The running standard deviation of each input key."""
        return TensorDict({key: stats.scale(self.eps) for key, stats in self._stats.items()})

    def denorm(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Return a copy in which the output keys hold the values before normalisation again."""
        result = tensordict.copy()
        for key, out_key in zip(self.in_keys, self.out_keys, strict=True):
            value = tensordict.get(out_key, None)
            if value is not None and key in self._stats:
                stats = self._stats[key]
                result.set(key, value * stats.scale(self.eps) + stats.mean)
        return result

    def to_observation_norm(self) -> Compose | ObservationNorm:
        """Return the static normalisation that the statistics stand for now.

        Raises:
            RLError: nothing is known of an entry.
        """
        norms = []
        for key, out_key in zip(self.in_keys, self.out_keys, strict=True):
            stats = self._stats.get(key)
            if stats is None or not stats.count:
                if self._optional_keys:
                    continue
                raise self._empty(key)
            norms.append(
                ObservationNorm(
                    loc=stats.mean,
                    scale=stats.scale(self.eps),
                    in_keys=[key],
                    out_keys=[out_key],
                    standard_normal=True,
                    eps=self.eps,
                )
            )
        return norms[0] if len(norms) == 1 else Compose(*norms)

    @staticmethod
    def build_td_for_shared_vecnorm(
        env: Any,  # noqa: ANN401 (any env)
        keys: Sequence[NestedKey] | None = None,
        memmap: bool = False,
    ) -> TensorDict:
        """Return empty statistics in shared memory for `keys` of `env`.

        Args:
            env: the env whose specs give the shapes.
            keys: entries to normalise; `observation` and `reward` by default.
            memmap: whether they live in a memory-mapped file rather than in shared memory.

        Raises:
            MissingKeyError: the env has no such entry.

        Example:
            >>> # shared = VecNorm.build_td_for_shared_vecnorm(env)
            >>> # make_env = lambda: TransformedEnv(env_fn(), VecNorm(shared_td=shared, lock=lock))
        """
        norm = VecNorm(in_keys=keys)
        norm._optional_keys = False
        norm.transform_output_spec(env.output_spec.clone())
        stats = TensorDict(dict(norm.named_buffers(recurse=False)))
        return stats.memmap_() if memmap else stats.share_memory_()

    # ---------------------------------------------------------------- specs

    def _transform_spec(self, spec: TensorSpec) -> TensorSpec:
        dtype = spec.dtype if spec.dtype.is_floating_point else torch.get_default_dtype()
        return unbounded_like(spec, dtype=dtype)

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Return the specs of the normalised entries, and make room for their statistics.

        Raises:
            MissingKeyError: a key that was given is not an entry of the env.
        """
        leaves = {}
        for group in ("observation", "reward", "done"):
            spec = output_spec[f"full_{group}_spec"]
            leaves.update({key: spec[key] for key in leaf_keys(spec)})
        for key in self.in_keys:
            if key in leaves:
                if key not in self._stats:
                    shape = self._shape(key, leaves[key], len(output_spec.shape))
                    self._open(key, shape, leaves[key])
            elif not self._optional_keys:
                raise self._missing(key, leaves)
        return super().transform_output_spec(output_spec)


class VecNormV2(VecNorm):
    """`VecNorm` under the name and argument names of the rewritten TorchRL class.

    Args:
        in_keys: entries to normalise.
        out_keys: keys written; `in_keys` by default.
        lock: a lock around each update.
        decay: factor on the weight of the past at every update.
        eps: lower bound of the standard deviation.
        shared_data: statistics in shared memory.

    Example:
        >>> VecNormV2(in_keys=["x"]).in_keys
        ['x']
    """

    def __init__(
        self,
        in_keys: Sequence[NestedKey],
        out_keys: Sequence[NestedKey] | None = None,
        *,
        lock: AbstractContextManager | None = None,
        decay: float = 0.9999,
        eps: float = 1e-4,
        shared_data: TensorDictBase | None = None,
    ) -> None:
        super().__init__(
            in_keys=as_key_list(in_keys),
            out_keys=out_keys,
            shared_td=shared_data,
            lock=lock,
            decay=decay,
            eps=eps,
        )
