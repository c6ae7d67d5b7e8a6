"""ObservationNorm: affine normalisation with given or measured statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from tensordict import TensorDictBase
from torch import Tensor

from rl.core.contract.keys import NestedKey, as_key_list
from rl.core.errors import RLError, SpecError
from rl.core.specs import Composite, TensorSpec
from rl.envs.transforms.lazy_buffers import LazyBuffers
from rl.envs.transforms.leaf_spec import leaf_keys, map_bounds, unbounded_like
from rl.envs.transforms.observation import ObservationTransform, fed_back_keys

__all__ = ["ObservationNorm"]


class ObservationNorm(LazyBuffers, ObservationTransform):
    """Normalise observations: `y = scale * x + loc`, or `y = (x - loc) / scale`.

    The second formula holds with `standard_normal`.

    Without `loc` and `scale` the statistics are measured by `init_stats`, so that the result has
    mean 0 and standard deviation 1.

    Args:
        loc: shift, a number or a tensor that broadcasts over the observation.
        scale: factor, likewise.
        in_keys: observations to normalise; by default every floating-point one that no step reads
            back (such as `episode_reward`).
        out_keys: keys written; `in_keys` by default.
        in_keys_inv: inputs that get the inverse map on their way into the env.
        out_keys_inv: the same inputs as the outside names them.
        standard_normal: which of the two formulas holds.
        eps: lower bound of `scale` with `standard_normal`; 1e-6 by default.

    Raises:
        ValueError: only one of `loc` and `scale` is given.

    Example:
        >>> from tensordict import TensorDict
        >>> norm = ObservationNorm(loc=1.0, scale=2.0, in_keys=["x"], standard_normal=True)
        >>> norm(TensorDict({"x": torch.tensor([3.0])}))["x"]
        tensor([1.])
    """

    batchable = True

    def __init__(
        self,
        loc: float | Tensor | None = None,
        scale: float | Tensor | None = None,
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
        in_keys_inv: Sequence[NestedKey] | None = None,
        out_keys_inv: Sequence[NestedKey] | None = None,
        standard_normal: bool = False,
        eps: float | None = None,
    ) -> None:
        if (loc is None) != (scale is None):
            raise SpecError(
                f"`ObservationNorm` got loc={loc} and scale={scale}: give both, or neither and "
                "call `init_stats(num_iter=...)`."
            )
        super().__init__(
            in_keys=[] if in_keys is None and out_keys is None else in_keys,
            out_keys=out_keys,
            in_keys_inv=in_keys_inv,
            out_keys_inv=out_keys_inv,
        )
        self._all_float_keys = in_keys is None and out_keys is None
        self.standard_normal = bool(standard_normal)
        self.eps = 1e-6 if eps is None else eps
        self.register_buffer("loc", None)
        self.register_buffer("scale", None)
        self._plan = list(zip(self.in_keys, self.out_keys, strict=True))
        if loc is not None:
            self._set_stats(torch.as_tensor(loc), torch.as_tensor(scale))

    @property
    def initialized(self) -> bool:
        """Whether `loc` and `scale` are known."""
        return self.loc is not None

    def _owns_buffer(self, name: str) -> bool:
        return name in ("loc", "scale")

    def _set_stats(self, loc: Tensor, scale: Tensor) -> None:
        dtype = torch.get_default_dtype()
        loc, scale = (x if x.is_floating_point() else x.to(dtype) for x in (loc, scale))
        self.loc = loc.detach().clone()
        self.scale = (scale.clamp_min(self.eps) if self.standard_normal else scale).detach().clone()

    # ---------------------------------------------------------------- data

    def _apply_transform(self, tensor: Tensor) -> Tensor:
        loc, scale = self.loc, self.scale
        if loc is None:
            raise self._uninitialized()
        if self.standard_normal:
            return (tensor - loc) / scale
        if tensor.dtype == loc.dtype == scale.dtype:
            return torch.addcmul(loc, tensor, scale)
        return tensor * scale + loc

    def _inv_apply_transform(self, tensor: Tensor) -> Tensor:
        if self.loc is None:
            raise self._uninitialized()
        if self.standard_normal:
            return tensor * self.scale + self.loc
        return (tensor - self.loc) / self.scale

    def _step(self, tensordict: TensorDictBase, next_tensordict: TensorDictBase) -> TensorDictBase:
        for in_key, out_key in self._plan:
            next_tensordict.set(out_key, self._apply_transform(next_tensordict[in_key]))
        return next_tensordict

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Normalise the entries of a TensorDict.

        Raises:
            MissingKeyError: an input key is absent.
            RLError: the statistics are not known, or there are no keys.
        """
        if not self.in_keys and not self.in_keys_inv:
            raise RLError("`ObservationNorm` has no keys outside of an env: pass `in_keys=[...]`.")
        return super().forward(tensordict)

    def _uninitialized(self) -> RLError:
        return RLError(
            "`ObservationNorm` does not know `loc` and `scale` yet: call "
            "`transform.init_stats(num_iter=1000)` once the transform is in its env, or pass "
            "`loc=` and `scale=`."
        )

    # ---------------------------------------------------------------- statistics

    def init_stats(
        self,
        num_iter: int,
        reduce_dim: int | tuple[int, ...] | None = None,
        cat_dim: int | None = None,
        key: NestedKey | None = None,
        keep_dims: tuple[int, ...] | None = None,
    ) -> None:
        """Measure `loc` and `scale` on random rollouts of the env that comes before the transform.

        Args:
            num_iter: number of env steps.
            reduce_dim: dimensions over which mean and standard deviation are taken, counted in the
                stacked data; by default the batch dimensions of the env and time.
            cat_dim: the time dimension, along which rollouts are joined; by default the last batch
                dimension.
            key: the entry that is measured; the only one of `in_keys` by default.
            keep_dims: dimensions of the feature that keep size 1 after being reduced, such as
                `(-1, -2)` to get one mean per image channel.

        Raises:
            RLError: the statistics are known already, or there is no env.
            SpecError: `key` is needed to choose among several entries.
        """
        if self.initialized:
            raise RLError(
                f"`ObservationNorm` has its statistics already (loc={self.loc}, "
                f"scale={self.scale}): make a new one to measure again."
            )
        parent = self.parent
        if parent is None:
            raise RLError(
                "`init_stats` runs the env that comes before the transform, and there is none: add "
                "the transform to a `TransformedEnv` first."
            )
        data, batch_ndim = self._gather(parent, num_iter, self._stats_key(key), cat_dim)
        dims = _reduced_dims(data.ndim, batch_ndim, reduce_dim, keep_dims)
        if math.prod(data.shape[dim] for dim in dims) < 2:
            raise RLError(
                f"`num_iter={num_iter}` gives no standard deviation: take more than one step."
            )
        mean = data.mean(dims, keepdim=True)
        std = data.std(dims, keepdim=True)
        kept = {dim % data.ndim for dim in keep_dims or ()}
        for dim in reversed([dim for dim in dims if dim not in kept]):
            mean, std = mean.squeeze(dim), std.squeeze(dim)
        std = std.clamp_min(self.eps)
        if not torch.isfinite(mean).all() or not torch.isfinite(std).all():
            raise RLError(
                f"The statistics of {num_iter} steps are not finite: look for NaN in the env."
            )
        if self.standard_normal:
            self._set_stats(mean, std)
        else:
            self._set_stats(-mean / std, 1 / std)

    def _stats_key(self, key: NestedKey | None) -> NestedKey:
        keys = self.in_keys or self.in_keys_inv
        if key is not None:
            return as_key_list([key])[0]
        if len(keys) != 1:
            raise SpecError(
                f"`init_stats` measures one entry and `in_keys` has {keys}: pass `key=`."
            )
        return keys[0]

    @staticmethod
    def _gather(
        parent: object, num_iter: int, key: NestedKey, cat_dim: int | None
    ) -> tuple[Tensor, int]:
        parts, steps, batch_ndim = [], 0, len(parent.batch_size)
        dim = batch_ndim if cat_dim is None else cat_dim
        while steps < num_iter:
            rollout = parent.rollout(max_steps=num_iter - steps)
            value = rollout.get(key)
            parts.append(value if value.is_floating_point() else value.float())
            steps += rollout.shape[-1]
        return torch.cat(parts, dim), batch_ndim + 1

    # ---------------------------------------------------------------- specs

    def _transform_spec(self, spec: TensorSpec) -> TensorSpec:
        if not self.initialized:
            return unbounded_like(spec)  # what `init_stats` finds later only narrows it
        return map_bounds(spec, self._apply_transform)

    def _inv_transform_spec(self, spec: TensorSpec) -> TensorSpec:
        # the inner value is the inverse of the outer one, so the outer bounds are the forward image
        return self._transform_spec(spec)

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Return the specs of the normalised entries.

        Raises:
            MissingKeyError: an input key is not an entry of the env.
        """
        if self._all_float_keys:
            observations = output_spec["full_observation_spec"]
            fed_back = fed_back_keys(self)
            self.in_keys = [
                key
                for key in leaf_keys(observations)
                if observations[key].dtype.is_floating_point and key not in fed_back
            ]
            self.out_keys = list(self.in_keys)
        else:
            self._check_in_keys(output_spec)
        known = {
            key
            for group in ("observation", "reward", "done")
            for key in leaf_keys(output_spec[f"full_{group}_spec"])
        }
        self._plan = [
            pair for pair in zip(self.in_keys, self.out_keys, strict=True) if pair[0] in known
        ]
        return super().transform_output_spec(output_spec)


def _reduced_dims(
    ndim: int,
    batch_ndim: int,
    reduce_dim: int | tuple[int, ...] | None,
    keep_dims: tuple[int, ...] | None,
) -> tuple[int, ...]:
    """Return the dimensions of the gathered data over which statistics are taken."""
    if reduce_dim is None:
        dims = set(range(batch_ndim))
        if keep_dims is not None:
            dims |= {dim % ndim for dim in keep_dims}
    else:
        given = (reduce_dim,) if isinstance(reduce_dim, int) else tuple(reduce_dim)
        dims = {dim % ndim for dim in given}
    kept = {dim % ndim for dim in keep_dims or ()}
    if not kept <= dims:
        raise SpecError(
            f"`keep_dims={keep_dims}` are not all reduced: add them to `reduce_dim={reduce_dim}`."
        )
    return tuple(sorted(dims))
