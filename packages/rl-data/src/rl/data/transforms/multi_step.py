"""n-step transitions, as a post-processing of collected batches."""

from __future__ import annotations

from collections.abc import Iterable

from tensordict import TensorDictBase, is_leaf_nontensor
from torch import Tensor, nn

from rl.core.contract.keys import NestedKey, as_key_list, in_next, sibling
from rl.core.errors import MissingKeyError, SpecError
from rl.data.transforms.n_step import n_step_return, steps_ahead, take_ahead
from rl.data.transforms.trajectories import (
    any_feature,
    padding_mask,
    time_dimension,
    trajectory_ends,
)

__all__ = ["MultiStep", "NStepRule", "checked_steps"]


class NStepRule:
    """How transitions become n-step transitions; see `MultiStep` for the entries.

    Args:
        n_steps: n, at least 1.
        gamma: discount.
        reward_keys: rewards to sum, below `"next"`.
        done_key: the flag that ends a trajectory, below `"next"`.
        done_keys: flags below `"next"`; those other than `done_key` are taken from the step that
            the target bootstraps from.
        mask_key: the mask of padded trajectories; see `padding_mask`.

    Raises:
        SpecError: `n_steps` is not a positive whole number.
    """

    def __init__(
        self,
        n_steps: int,
        gamma: float,
        reward_keys: Iterable[NestedKey] | None = None,
        done_key: NestedKey | None = None,
        done_keys: Iterable[NestedKey] | None = None,
        mask_key: NestedKey | None = None,
    ) -> None:
        self.n_steps = checked_steps(n_steps)
        self.gamma = gamma
        self.reward_keys = as_key_list("reward" if reward_keys is None else reward_keys)
        self.done_key = "done" if done_key is None else done_key
        names = [sibling(self.done_key, name) for name in ("done", "truncated", "terminated")]
        self.done_keys = names if done_keys is None else as_key_list(done_keys)
        self.mask_key = mask_key

    def ends(self, data: TensorDictBase, time_dim: int) -> Tensor:
        """Return where trajectories end, `[*B, T]` bool."""
        return trajectory_ends(
            data,
            self.done_key,
            time_dim=time_dim,
            owner="MultiStep",
            mask=padding_mask(data, self.mask_key),
        )

    def __call__(self, data: TensorDictBase, ends: Tensor, time_dim: int) -> TensorDictBase:
        """Return new transitions from `data`, `[*B, T]`, which stay as they are."""
        steps = steps_ahead(ends, self.n_steps, time_dim)
        result = data.copy()
        following = data.get("next").copy()
        for key in following.keys(True, True, is_leaf=is_leaf_nontensor):
            if key in self.reward_keys or key == self.done_key:
                continue
            value = following.get(key)
            if not isinstance(value, Tensor):
                raise SpecError(
                    f"`{in_next(key)}` is a {type(value).__name__}; next steps of multi-step data "
                    "are tensors: exclude it, or turn it into one."
                )
            following.set(key, take_ahead(value, steps, time_dim))
        for key in self.reward_keys:
            reward = following.get(key, None)
            if reward is None:
                raise MissingKeyError(
                    f"`MultiStep` sums `{in_next(key)}`, which is not in the data (their next "
                    f"steps have {sorted(map(str, following.keys(True, True)))}): pass "
                    "`reward_keys=[...]`."
                )
            following.set(_original(key), reward)
            following.set(key, n_step_return(reward, steps, self.gamma, time_dim))
        terminated = self._terminated(data, following, steps, time_dim)
        result.set("next", following)
        steps = steps.unsqueeze(-1)
        result.set("steps_to_next_obs", steps)
        result.set("gamma", self.gamma ** steps.to(following.get(self.reward_keys[0]).dtype))
        nonterminal = ~any_feature(terminated, data.ndim).unsqueeze(-1)
        mask = padding_mask(data, self.mask_key)
        if mask is not None:
            nonterminal = nonterminal & mask.unsqueeze(-1)
        result.set("nonterminal", nonterminal)
        return result

    def _terminated(
        self, data: TensorDictBase, following: TensorDictBase, steps: Tensor, time_dim: int
    ) -> Tensor:
        """Return whether the last step ends in a terminal state; write it for estimators."""
        key = sibling(self.done_key, "terminated")
        terminated = following.get(key, None)
        if terminated is None:
            # without the flag, an estimator takes done for it: that of this step, not of the last
            done = data.get(in_next(self.done_key))
            terminated = take_ahead(done, steps, time_dim)
            following.set(key, terminated)
        return terminated


def checked_steps(n_steps: int) -> int:
    """Return `n_steps`.

    Raises:
        SpecError: it is not a positive whole number.
    """
    if not isinstance(n_steps, int) or n_steps < 1:
        raise SpecError(f"`n_steps` is {n_steps!r}, expected a whole number from 1 on.")
    return n_steps


class MultiStep(nn.Module):
    """Turn collected transitions into n-step transitions (Sutton, 1988; Mnih et al., 2016, 4.1).

    A transition then leads n steps ahead, or to the end of its trajectory or of the batch if that
    is nearer: what is below `"next"` is that of the step reached, the reward is the discounted sum
    on the way, and `steps_to_next_obs` is the exponent of the discount that value estimators apply
    to the next value. The end of a batch shortens the last returns; in a buffer,
    `MultiStepTransform` waits for the steps that follow instead.

    `("next", "done")` stays that of the transition's own step, so that it still marks where
    trajectories end in the data; `terminated` and `truncated` are those of the step reached, so
    that a target bootstraps only where that is no terminal state.

    Args:
        gamma: discount.
        n_steps: n, at least 1; 1 leaves rewards and next observations as they are.

    Reads:
        ("next", "reward"): `[*B, T, *F]`.
        ("next", "done"): `[*B, T, 1]` bool.
        ("next", "terminated"): `[*B, T, 1]` bool, optional; done if missing.
        ("collector", "traj_ids"): `[*B, T]`, optional; a change of id ends a trajectory.
        ("collector", "mask") or mask: `[*B, T]`, optional; false at padding.
    Writes:
        ("next", "reward"): the n-step return.
        ("next", "original_reward"): the reward of the step itself.
        ("next", ...): all other entries but `done`, from the step reached.
        steps_to_next_obs: `[*B, T, 1]` int64, 1 to n.
        gamma: `[*B, T, 1]`, `gamma ** steps_to_next_obs`.
        nonterminal: `[*B, T, 1]` bool, whether the target bootstraps.

    Raises:
        SpecError: `n_steps` is not a positive whole number.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> done = torch.tensor([[False], [False], [True]])
        >>> step = {"reward": torch.ones(3, 1), "done": done, "x": torch.arange(1, 4)}
        >>> batch = MultiStep(gamma=0.5, n_steps=2)(TensorDict({"next": step}, [3]))
        >>> batch["next", "reward"].flatten(), batch["next", "x"]
        (tensor([1.5000, 1.5000, 1.0000]), tensor([2, 3, 3]))
    """

    def __init__(self, gamma: float, n_steps: int) -> None:
        super().__init__()
        self._rule = NStepRule(n_steps, gamma)

    @property
    def n_steps(self) -> int:
        """The number of steps."""
        return self._rule.n_steps

    @property
    def gamma(self) -> float:
        """The discount."""
        return self._rule.gamma

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Return n-step transitions; the batch given stays as it is.

        Raises:
            ShapeError: the batch has no time dimension.
            MissingKeyError: reward or done is missing.
        """
        dim = time_dimension(tensordict, "MultiStep")
        return self._rule(tensordict, self._rule.ends(tensordict, dim), dim)


def _original(key: NestedKey) -> NestedKey:
    name = key if isinstance(key, str) else key[-1]
    return sibling(key, f"original_{name}")
