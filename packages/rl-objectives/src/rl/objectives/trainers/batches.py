"""Hooks that change batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from tensordict import NestedKey, TensorDictBase
from torch import Tensor

from rl.core.errors import ShapeError
from rl.objectives.trainers.hook_base import TrainerHookBase

if TYPE_CHECKING:
    from rl.objectives.trainers.trainer import Trainer

__all__ = ["BatchSubSampler", "RewardNormalizer", "SelectKeys", "ValueEstimatorHook", "mask_batch"]


def mask_batch(batch: TensorDictBase) -> TensorDictBase:
    """Return the valid steps of a padded batch, as one dimension; others as they are.

    Example:
        >>> from tensordict import TensorDict
        >>> mask = torch.tensor([[True, True, False]])
        >>> mask_batch(TensorDict({"collector": {"mask": mask}}, [1, 3])).shape
        torch.Size([2])
    """
    mask = batch.get(("collector", "mask"), None)
    return batch if mask is None else batch[mask.reshape(batch.shape)]


class SelectKeys(TrainerHookBase):
    """Keeps some entries of each collected batch.

    Args:
        keys: the entries.

    Example:
        >>> from tensordict import TensorDict
        >>> list(SelectKeys(["a"])(TensorDict({"a": 1, "b": 2})).keys())
        ['a']
    """

    def __init__(self, keys: Sequence[NestedKey]) -> None:
        if isinstance(keys, str):
            raise TypeError(f"`keys` is one string, expected a sequence: `[{keys!r}]`.")
        self.keys = list(keys)

    def __call__(self, batch: TensorDictBase) -> TensorDictBase:
        """Return the batch with these entries."""
        return batch.select(*self.keys)

    def register(self, trainer: Trainer, name: str | None = None) -> None:
        """Register at `batch_process`."""
        trainer.register_op("batch_process", self)


class ValueEstimatorHook(TrainerHookBase):
    """Computes advantages of the whole batch before each epoch.

    Args:
        value_estimator: such as `GAE`.

    Example:
        >>> from rl.objectives.value import GAE
        >>> hook = ValueEstimatorHook(GAE(gamma=0.99, lmbda=0.95, value_network=None))
    """

    def __init__(self, value_estimator: torch.nn.Module) -> None:
        self.value_estimator = value_estimator

    def __call__(self, batch: TensorDictBase) -> TensorDictBase:
        """Return the batch with its advantages."""
        with torch.no_grad():
            return self.value_estimator(batch)

    def register(self, trainer: Trainer, name: str | None = None) -> None:
        """Register at `pre_epoch`."""
        trainer.register_op("pre_epoch", self)


class BatchSubSampler(TrainerHookBase):
    """Draws steps, or pieces of trajectories, from a batch `[*B, T]`.

    Args:
        batch_size: steps in a draw, a multiple of `sub_traj_len`.
        sub_traj_len: length of the pieces, 0 for single steps.
        min_sub_traj_len: where trajectories are padded, shorter pieces are taken down to this
            length, and trajectories below it are left out.

    Example:
        >>> from tensordict import TensorDict
        >>> sampler = BatchSubSampler(batch_size=6, sub_traj_len=3)
        >>> sampler(TensorDict({"x": torch.zeros(4, 10)}, [4, 10])).shape
        torch.Size([2, 3])
    """

    def __init__(self, batch_size: int, sub_traj_len: int = 0, min_sub_traj_len: int = 0) -> None:
        if sub_traj_len > 0 and batch_size % sub_traj_len:
            raise ValueError(
                f"`batch_size` is {batch_size}, expected a multiple of `sub_traj_len`, "
                f"{sub_traj_len}."
            )
        self.batch_size = batch_size
        self.sub_traj_len = max(sub_traj_len, 0)
        self.min_sub_traj_len = max(min_sub_traj_len, 0)

    def __call__(self, batch: TensorDictBase) -> TensorDictBase:
        """Return a draw `[batch_size]`, or `[batch_size // sub_traj_len, sub_traj_len]`."""
        mask = batch.get(("collector", "mask"), None)
        if self.sub_traj_len == 0:
            steps = batch.reshape(-1) if mask is None else mask_batch(batch)
            return steps[torch.randint(steps.shape[0], (self.batch_size,), device=batch.device)]
        if batch.ndim < 2:
            raise ShapeError(
                f"The batch has shape {list(batch.shape)}, expected `[*B, T]`: "
                "`sub_traj_len` cuts pieces of trajectories. Use `sub_traj_len=0` for steps."
            )
        rows = batch.reshape(-1, batch.shape[-1])
        lengths = self._lengths(rows, mask)
        return self._pieces(rows, lengths)

    def register(self, trainer: Trainer, name: str | None = None) -> None:
        """Register at `process_optim_batch`."""
        trainer.register_op("process_optim_batch", self)

    def _lengths(self, rows: TensorDictBase, mask: Tensor | None) -> Tensor:
        if mask is None:
            return torch.full(rows.shape[:1], rows.shape[1])
        return mask.reshape(rows.shape).sum(-1).cpu()

    def _pieces(self, rows: TensorDictBase, lengths: Tensor) -> TensorDictBase:
        needed = min(self.min_sub_traj_len or self.sub_traj_len, self.sub_traj_len)
        (candidates,) = (lengths >= needed).nonzero(as_tuple=True)
        if candidates.numel() == 0:
            raise ShapeError(
                f"No trajectory of the batch has {needed} steps (the longest has "
                f"{int(lengths.max())}): lower `sub_traj_len` or `min_sub_traj_len`."
            )
        length = min(self.sub_traj_len, int(lengths[candidates].min()))
        count = self.batch_size // length
        row = candidates[torch.randint(candidates.numel(), (count,))]
        room = lengths[row] - length + 1
        start = (torch.rand(count) * room).long()
        time = start.unsqueeze(1) + torch.arange(length)
        return rows[row.unsqueeze(1).expand_as(time), time]


class RewardNormalizer(TrainerHookBase):
    """Scales rewards by running statistics.

    Args:
        decay: of the running mean and variance, per batch.
        scale: what multiplies a normalised reward.
        eps: floor of the deviation; the smallest of the default dtype by default.
        log_pbar: also return mean and deviation for the progress bar.
        reward_key: where the reward is; `("next", "reward")` by default.

    Example:
        >>> from tensordict import TensorDict
        >>> batch = TensorDict({"next": {"reward": torch.tensor([[1.0], [3.0]])}}, [2])
        >>> normalizer = RewardNormalizer()
        >>> normalizer.update_reward_stats(batch)
        >>> normalizer.normalize_reward(batch)["next", "reward"].flatten()
        tensor([-1.,  1.])
    """

    def __init__(
        self,
        decay: float = 0.999,
        scale: float = 1.0,
        eps: float | None = None,
        log_pbar: bool = False,
        reward_key: NestedKey | None = None,
    ) -> None:
        self.decay = decay
        self.scale = scale
        self.eps = torch.finfo(torch.get_default_dtype()).eps if eps is None else eps
        self.log_pbar = log_pbar
        self.reward_key = ("next", "reward") if reward_key is None else reward_key
        self._sums: Tensor | None = None

    @torch.no_grad()
    def update_reward_stats(self, batch: TensorDictBase) -> None:
        """Take a collected batch into the statistics."""
        reward = mask_batch(batch).get(self.reward_key).double()
        count = torch.tensor(float(reward.numel()), dtype=torch.float64, device=reward.device)
        sums = torch.stack([reward.sum(), reward.square().sum(), count])
        self._sums = sums if self._sums is None else self.decay * self._sums + sums

    @torch.no_grad()
    def normalize_reward(self, batch: TensorDictBase) -> TensorDictBase:
        """Return the batch with normalised rewards; the given one stays as it is."""
        mean, std = self.statistics()
        batch = batch.copy()
        reward = batch.get(self.reward_key)
        return batch.set(self.reward_key, (reward - mean) / max(std, self.eps) * self.scale)

    def statistics(self) -> tuple[float, float]:
        """Return the running mean and standard deviation."""
        if self._sums is None:
            return 0.0, 1.0
        total, squares, count = self._sums.tolist()
        mean = total / count
        return mean, max(squares / count - mean**2, 0.0) ** 0.5

    def log(self, batch: TensorDictBase) -> dict[str, Any]:
        """Return the statistics for the log."""
        mean, std = self.statistics()
        return {"reward_mean": mean, "reward_std": std, "log_pbar": self.log_pbar}

    def register(self, trainer: Trainer, name: str | None = None) -> None:
        """Register at `batch_process`, `process_optim_batch` and `pre_steps_log`."""
        trainer.register_op("batch_process", self.update_reward_stats)
        trainer.register_op("process_optim_batch", self.normalize_reward)
        trainer.register_op("pre_steps_log", self.log)
        trainer.register_module(name or "reward_normalizer", self)

    def state_dict(self) -> dict[str, Any]:
        """Return the statistics."""
        return {"sums": self._sums}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the statistics."""
        self._sums = state_dict["sums"]
