"""Prioritised experience replay (Schaul et al., 2016, arXiv:1511.05952, section 3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rl.core.errors import ShapeError, SpecError
from rl.data.samplers.base import Sampler
from rl.data.storages.base import Storage
from rl.data.trees.device_tree import DeviceSumTree
from rl.data.trees.segment_tree import SumTree

__all__ = ["PrioritizedSampler"]


class PrioritizedSampler(Sampler):
    """Draws element `i` with probability `(p_i + eps)^alpha / sum_j (p_j + eps)^alpha`.

    Each draw carries its importance weight `(P(i) / min_j P(j))^-beta`, which is at most 1
    (section 3.4). An element that was just written has the largest priority seen so far, so that
    it is drawn soon. Drawing and updating cost the logarithm of the capacity.

    Args:
        max_capacity: number of elements, at least that of the storage.
        alpha: how much priorities count; 0 is uniform.
        beta: how much the weights correct for it; 1 is fully. May be annealed by assignment or by
            a scheduler.
        eps: added to priorities so that none is zero.
        dtype: of the tree, `torch.float32` or `torch.float64`.
        reduction: how priorities with further dimensions become one per element: `"max"`,
            `"min"`, `"median"` or `"mean"`.
        max_priority_within_buffer: whether the priority of new elements is the largest in the
            buffer instead of the largest ever seen.
        device: of the tree. On an accelerator, samples hold indices and weights of that device,
            and drawing them waits for nothing; `update_priority` waits for its checks. By
            default the tree is on the CPU, where it is quicker to call.

    Raises:
        ValueError: an argument is out of its range.

    Example:
        >>> from rl.data.storages import ListStorage
        >>> storage, sampler = ListStorage(2), PrioritizedSampler(2, alpha=1.0, beta=1.0)
        >>> storage.set(range(2), ["rare", "often"])
        >>> sampler.extend(torch.arange(2))
        >>> sampler.update_priority(torch.arange(2), torch.tensor([0.0, 4.0]))
        >>> sampler.sample(storage, 3)[0]
        tensor([1, 1, 1])
    """

    uses_priority = True

    def __init__(
        self,
        max_capacity: int,
        alpha: float,
        beta: float,
        eps: float = 1e-8,
        dtype: torch.dtype = torch.float32,
        reduction: str = "max",
        max_priority_within_buffer: bool = False,
        device: torch.device | str | int | None = None,
    ) -> None:
        for name, value in (("alpha", alpha), ("beta", beta), ("eps", eps)):
            if not 0 <= value < float("inf"):
                raise ValueError(f"`{name}` is {value}, expected a finite number of at least 0.")
        if reduction not in _REDUCTIONS:
            raise ValueError(
                f"`reduction` is {reduction!r}, expected one of {sorted(_REDUCTIONS)}."
            )
        self.alpha = float(alpha)
        self.beta = float(beta)
        self.eps = float(eps)
        self.reduction = reduction
        self.max_priority_within_buffer = max_priority_within_buffer
        self._sum_tree = _tree(max_capacity, dtype, device)
        self._least = self._sum_tree.least_leaf()
        # whether any leaf is positive, without asking the tree
        self._any_priority = False
        self._tiny = torch.finfo(dtype).tiny
        self._max_priority: float | None = None
        # counts changes of the tree, which are in place: tells a draw made ahead that it is stale
        self._version = 0

    @property
    def max_size(self) -> int:
        """Number of elements that the tree has room for."""
        return len(self._sum_tree)

    @property
    def default_priority(self) -> float:
        """Leaf value of an element that was just written, `(largest priority + eps)^alpha`."""
        if self.max_priority_within_buffer:
            leaves = self._sum_tree.leaves()
            largest = float(leaves.max())
            return largest if largest > 0 else (1.0 + self.eps) ** self.alpha
        largest = 1.0 if self._max_priority is None else self._max_priority
        return (largest + self.eps) ** self.alpha

    def prepare(self, storage: Storage) -> None:
        """Check that the tree has room for the storage.

        Raises:
            ValueError: it has not.
        """
        if storage.max_size > self.max_size:
            raise ValueError(
                f"The sampler has max_capacity={self.max_size}, the storage "
                f"max_size={storage.max_size}. Build the sampler with "
                f"max_capacity={storage.max_size}."
            )

    # ---------------------------------------------------------------- draws

    def sample(self, storage: Storage, batch_size: int) -> tuple[Any, dict[str, Any]]:
        """Draw `batch_size` elements, with replacement.

        Returns:
            The index, and `priority_weight`, `[batch_size]` float32.

        Raises:
            RuntimeError: the storage is empty.
        """
        size = self._size(storage)
        if not self._any_priority:
            raise self._nothing_to_draw()
        uniform = torch.rand(batch_size, generator=self.generator, dtype=torch.float64)
        found, leaf = self._sum_tree.draw(uniform)
        weight = torch.as_tensor((leaf / self._least.value()) ** -self.beta).float()
        return storage.unravel(found.clamp_(max=size - 1)), {"priority_weight": weight}

    @staticmethod
    def _nothing_to_draw() -> RuntimeError:
        return RuntimeError(
            "No element has a priority: the rows were not written through the buffer. Extend "
            "the buffer, or call `rb.mark_update(torch.arange(len(rb)))`."
        )

    # ------------------------------------------------------------ priorities

    def extend(self, index: Tensor) -> None:
        """Give elements that were written the default priority."""
        leaf = self.default_priority
        self._set(self._sum_tree.array(index), np.float64(leaf), leaf)

    def mark_update(self, index: Tensor, *, storage: Storage | None = None) -> None:
        """Give elements that were overwritten the default priority.

        Raises:
            IndexError: an element is out of range.
        """
        position = torch.as_tensor(index).reshape(-1)
        self._check_range(self._sum_tree.array(position), storage)
        self.extend(position)

    def update_priority(
        self, index: Tensor, priority: Tensor | float, *, storage: Storage | None = None
    ) -> None:
        """Set the priorities of elements; of repeated elements, the last one stays.

        Args:
            index: element numbers, `[n]`.
            priority: `[n]`, `[n, ...]` reduced over the further dimensions, or one number for all.
            storage: if given, numbers must be of elements that it holds.

        Raises:
            ShapeError: index and priority differ in length.
            SpecError: a priority is negative or not finite.
            IndexError: an element is out of range.
        """
        position = self._sum_tree.array(index).reshape(-1)
        value, least, largest = self._reduced(priority, len(position))
        if not len(position):
            return
        self._check_range(position, storage)
        if self._max_priority is None or largest > self._max_priority:
            self._max_priority = largest
        # a bound in spite of rounding
        bound = (least + self.eps) ** self.alpha * (1 - 1e-9)
        self._set(position, (value + self.eps) ** self.alpha, bound)

    def _check_range(self, position: Any, storage: Storage | None) -> None:  # noqa: ANN401
        size = self.max_size if storage is None else len(storage)
        if len(position) and not self._sum_tree.within(position, size):
            raise IndexError(
                f"Priorities are given for elements [{int(position.min())}, "
                f"{int(position.max())}], expected them in [0, {size}). Pass the `index` entry of "
                "a sample."
            )

    def check_priority(self, priority: Tensor | float, count: int) -> None:
        """Raise unless these can be the priorities of `count` elements.

        Raises:
            ShapeError: they are of another number.
            SpecError: one is negative or not finite.
        """
        self._reduced(priority, count)

    def _reduced(self, priority: Tensor | float, count: int) -> tuple[Any, float, float]:
        """Return one checked number per element, the least of them and the largest."""
        priority = torch.as_tensor(priority)
        shape = priority.shape
        if len(shape) > 1:
            priority = _REDUCTIONS[self.reduction](priority.double().flatten(1))
        if shape and shape[0] != count:
            raise ShapeError(
                f"`priority` has shape {list(shape)}, the index names "
                f"{count} elements. Give one priority per element."
            )
        value = self._sum_tree.array(priority, torch.float64)
        if shape and not shape[0]:
            return value, 0.0, 0.0
        least, largest = self._sum_tree.extremes(value)
        # not(a >= 0) is true of NaN as well
        if not least >= 0 or not largest < np.inf:
            raise SpecError(
                f"Priorities span [{least}, {largest}], expected finite numbers of at "
                "least 0. Pass `td_error.abs()`, and look for NaN in the loss."
            )
        return value, least, largest

    def _set(self, position: Any, value: Any, least: float) -> None:  # noqa: ANN401
        """Set leaves, none of which is below `least`."""
        if not len(position):
            return
        # a leaf of zero would count as absent: stay above it even where alpha is large
        leaf = value if self.eps**self.alpha > 2 * self._tiny else value.clip(self._tiny)
        before = self._sum_tree.at(position)
        self._sum_tree.store(position, leaf)
        self._least.changed(before, position, max(least, self._tiny))
        self._any_priority = True
        self._version += 1

    # ----------------------------------------------------------------- state

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_least"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._least = self._sum_tree.least_leaf()

    def empty(self) -> None:
        """Forget every priority."""
        self._sum_tree.clear()
        self._least.forget()
        self._max_priority = None
        self._any_priority = False
        self._version += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the leaves, the largest priority, and the exponents."""
        return {
            "leaves": self._sum_tree.leaves(),
            "max_priority": self._max_priority,
            "alpha": self.alpha,
            "beta": self.beta,
            "eps": self.eps,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state that `state_dict` returned.

        Raises:
            ValueError: it is of another capacity or dtype.
        """
        leaves = state_dict["leaves"]
        self._sum_tree.load_leaves(leaves)
        self._least.forget()
        self._any_priority = bool((leaves > 0).any())
        self._max_priority = state_dict["max_priority"]
        self.alpha = state_dict["alpha"]
        self.beta = state_dict["beta"]
        self.eps = state_dict["eps"]
        self._version += 1

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(max_capacity={self.max_size}, alpha={self.alpha}, "
            f"beta={self.beta}, eps={self.eps}, reduction={self.reduction!r})"
        )


def _tree(size: int, dtype: torch.dtype, device: torch.device | str | int | None) -> SumTree:
    device = torch.device("cpu" if device is None else device)
    return SumTree(size, dtype) if device.type == "cpu" else DeviceSumTree(size, dtype, device)


_REDUCTIONS = {
    "max": lambda priority: priority.amax(1),
    "min": lambda priority: priority.amin(1),
    "median": lambda priority: priority.median(1).values,
    "mean": lambda priority: priority.mean(1),
}
