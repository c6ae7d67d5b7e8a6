"""Stamps what a scheme sends, and checks that it is always of the same model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tensordict import TensorDictBase

from rl.core.errors import RLError
from rl.core.weights.strategy import WeightStrategy
from rl.core.weights.versioned import Weights, require_fit, split_extra

__all__ = ["Stamper"]


class Stamper:
    """Makes `Weights` of what a scheme is given.

    Args:
        strategy: what is taken of a model.
        prepare: converts what was given first.

    Example:
        >>> import torch
        >>> stamper = Stamper(WeightStrategy(), lambda given: given)
        >>> stamper.by_worker(torch.nn.Linear(1, 1), [0, 1], version=4)[1].version
        4
    """

    def __init__(self, strategy: WeightStrategy, prepare: Callable[[Any], Any]) -> None:
        self._strategy, self._prepare = strategy, prepare
        self._first: Weights | None = None

    def by_worker(
        self,
        source: Any,  # noqa: ANN401 (what has weights, or a dict of it by worker)
        workers: Iterable[int],
        version: int,
    ) -> dict[int, Weights]:
        """Return the weights for each worker; one object for all unless `source` is by worker.

        Args:
            source: a module, a TensorDict, a state_dict, or a dict of them by worker.
            workers: the workers.
            version: the stamp.

        Raises:
            RLError: a worker is not in the dict.
            WeightsError: they have other names, shapes or dtypes than the first weights.
        """
        if not _is_by_worker(source):
            return dict.fromkeys(workers, self._stamp(source, version))
        lacking = [worker for worker in workers if worker not in source]
        if lacking:
            raise RLError(f"There are no weights for the workers {lacking}: pass theirs too.")
        return {worker: self._stamp(source[worker], version) for worker in workers}

    def _stamp(self, source: Any, version: int) -> Weights:  # noqa: ANN401
        weights = self._strategy.stamp(self._prepare(source), version)
        if self._first is None:
            self._first = weights
        require_fit(split_extra(weights)[0], split_extra(self._first)[0])
        return weights


def _is_by_worker(source: object) -> bool:
    if isinstance(source, TensorDictBase) or not isinstance(source, Mapping):
        return False
    return len(source) > 0 and all(isinstance(key, int) for key in source)
