"""The conformance kit of replay buffers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import torch
from tensordict import TensorDictBase, is_tensor_collection
from torch import Tensor

from rl.core.errors import RLError
from rl.data.buffers.replay_buffer import ReplayBuffer

__all__ = ["check_buffer"]


def check_buffer(
    make_buffer: Callable[[torch.Generator, int], ReplayBuffer], make_rows: Callable[[int], Any]
) -> None:
    """Check what every buffer promises, whatever its storage, sampler and writer.

    Sampling an empty buffer raises; written rows are sampled; the same random state gives the same
    batches; prefetching changes no batch; a saved, or a copied, state continues exactly as the
    original would; `empty` empties.

    Args:
        make_buffer: makes an empty buffer with a batch size, from its `generator` and `prefetch`.
        make_rows: makes a batch of a given number of rows for `extend`; called with 5, which must
            fit at least once.

    Raises:
        RLError: a promise is broken; the message says which.

    Example:
        >>> from rl.data import LazyTensorStorage
        >>> check_buffer(
        ...     lambda generator, prefetch: ReplayBuffer(
        ...         storage=LazyTensorStorage(12),
        ...         batch_size=4,
        ...         generator=generator,
        ...         prefetch=prefetch,
        ...     ),
        ...     lambda n: {"x": torch.randn(n, 3)},
        ... )
    """

    def fresh(prefetch: int = 0) -> ReplayBuffer:
        return make_buffer(torch.Generator().manual_seed(7), prefetch)

    rows = [make_rows(5) for _ in range(4)]
    _check_empty(fresh())
    _check_determinism(fresh, rows)
    _check_resume(fresh, rows, _through_files, "dumps and loads")
    _check_resume(fresh, rows, _through_state, "state_dict and load_state_dict")


Fresh = Callable[..., ReplayBuffer]


def _check_empty(rb: ReplayBuffer) -> None:
    try:
        rb.sample()
    except RuntimeError:
        return
    raise RLError("Sampling an empty buffer returned a batch; it must raise a RuntimeError.")


def _check_determinism(fresh: Fresh, rows: list[Any]) -> None:
    runs = [_run(rb, rows) for rb in (fresh(), fresh(), fresh(prefetch=3))]
    _require(_equal(runs[0], runs[1]), "The same random state gave different batches.")
    _require(_equal(runs[0], runs[2]), "Prefetching changed the batches.")
    rb = fresh()
    rb.extend(rows[0])
    _require(len(rb) > 0, "`extend` left the buffer empty.")
    rb.empty()
    _require(len(rb) == 0, "`empty` left rows.")
    _check_empty(rb)


def _check_resume(
    fresh: Fresh, rows: list[Any], copy: Callable[[ReplayBuffer, ReplayBuffer], None], name: str
) -> None:
    original = fresh()
    _run(original, rows[:2])
    other = fresh()
    copy(original, other)
    _require(len(original) == len(other), f"{name} changed the number of rows.")
    # without a write in between first: a write may hide a state that was lost
    same = _equal(_draws(original), _draws(other))
    same = same and _equal(_run(original, rows[2:]), _run(other, rows[2:]))
    _require(same, f"After {name}, the buffer does not go on as the original does.")


def _through_files(original: ReplayBuffer, other: ReplayBuffer) -> None:
    with tempfile.TemporaryDirectory() as folder:
        original.dumps(folder)
        other.loads(folder)


def _through_state(original: ReplayBuffer, other: ReplayBuffer) -> None:
    other.load_state_dict(original.state_dict())


def _run(rb: ReplayBuffer, rows: list[Any]) -> list[Any]:
    """Write, sample and update in turn; return the batches."""
    batches = []
    for number, part in enumerate(rows):
        rb.extend(part)
        batches += _draws(rb)
        data, info = rb.sample(return_info=True)
        batches.append(_clone(data))
        size = len(info["index"][0] if isinstance(info["index"], tuple) else info["index"])
        rb.update_priority(info["index"], torch.linspace(0.1, 1.0 + number, size))
    rb.shutdown()
    return batches


def _draws(rb: ReplayBuffer) -> list[Any]:
    return [_clone(rb.sample()) for _ in range(4)]


def _clone(data: Any) -> Any:  # noqa: ANN401
    return data.clone() if isinstance(data, Tensor | TensorDictBase) else data


def _equal(a: Any, b: Any) -> bool:  # noqa: ANN401
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if is_tensor_collection(a):
        return bool((a == b).all())
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    return a == b


def _require(held: bool, message: str) -> None:
    if not held:
        raise RLError(message)
