"""The conformance kit of replay buffers."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from rl.core.errors import CheckpointError, RLError
from rl.data.buffers.replay_buffer import ReplayBuffer
from rl.data.testing.check_history import check_history
from rl.data.testing.comparison import clone, equal, require

__all__ = ["check_buffer"]


def check_buffer(
    make_buffer: Callable[[torch.Generator, int], ReplayBuffer], make_rows: Callable[[int], Any]
) -> None:
    """Check what every buffer promises, whatever its storage, sampler and writer.

    Sampling an empty buffer raises; written rows are sampled; the same random state gives the same
    batches; prefetching changes no batch; a saved, or a copied, state continues exactly as the
    original would; a copy is a buffer of its own; a save that is damaged or of a newer format, and
    an index out of range, raise and change nothing; `empty` empties; and what `check_history`
    checks.

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
    _check_copy(fresh, rows)
    _check_damage(fresh, rows)
    _check_range(fresh, rows)
    check_history(fresh, make_rows, _HISTORY)


_HISTORY = [
    *(("sample", 2), ("extend", 5), ("sample", 4), ("update", 3), ("extend", 5), ("sample", 4)),
    *(("extend", 5), ("update", 8), ("reload", 0), ("sample", 4), ("extend", 2), ("sample", 1)),
    *(("empty", 0), ("sample", 1), ("extend", 4), ("sample", 4)),
]


Fresh = Callable[..., ReplayBuffer]


def _check_empty(rb: ReplayBuffer) -> None:
    try:
        rb.sample()
    except RuntimeError:
        return
    raise RLError("Sampling an empty buffer returned a batch; it must raise a RuntimeError.")


def _check_determinism(fresh: Fresh, rows: list[Any]) -> None:
    runs = [_run(rb, rows) for rb in (fresh(), fresh(), fresh(prefetch=3))]
    require(equal(runs[0], runs[1]), "The same random state gave different batches.")
    require(equal(runs[0], runs[2]), "Prefetching changed the batches.")
    rb = fresh()
    rb.extend(rows[0])
    require(len(rb) > 0, "`extend` left the buffer empty.")
    rb.empty()
    require(len(rb) == 0, "`empty` left rows.")
    _check_empty(rb)


def _check_resume(
    fresh: Fresh, rows: list[Any], copy: Callable[[ReplayBuffer, ReplayBuffer], None], name: str
) -> None:
    original = fresh()
    _run(original, rows[:2])
    other = fresh()
    copy(original, other)
    require(len(original) == len(other), f"{name} changed the number of rows.")
    # without a write in between first: a write may hide a state that was lost
    same = equal(_draws(original), _draws(other))
    same = same and equal(_run(original, rows[2:]), _run(other, rows[2:]))
    require(same, f"After {name}, the buffer does not go on as the original does.")


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
        batches.append(clone(data))
        size = len(info["index"][0] if isinstance(info["index"], tuple) else info["index"])
        rb.update_priority(info["index"], torch.linspace(0.1, 1.0 + number, size))
    rb.shutdown()
    return batches


def _draws(rb: ReplayBuffer) -> list[Any]:
    return [clone(rb.sample()) for _ in range(4)]


def _check_copy(fresh: Fresh, rows: list[Any]) -> None:
    original = fresh()
    original.extend(rows[0])
    before = clone(original.storage[:])
    other = copy.deepcopy(original)
    other.extend(rows[1])
    other.extend(rows[2])
    require(equal(before, original.storage[:]), "Writing to a copy of the buffer changed it.")


def _check_damage(fresh: Fresh, rows: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        original = fresh()
        original.extend(rows[0])
        original.dumps(folder)
        for file in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
            content = file.read_bytes()
            if not content:
                continue
            file.write_bytes(content[:-1])
            _check_refusal(fresh, rows, folder, f"`{file.name}` was truncated")
            file.write_bytes(content)
        manifest = Path(folder) / "manifest.json"
        document = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**document, "version": document["version"] + 1}))
        _check_refusal(fresh, rows, folder, "the format is newer")


def _check_refusal(fresh: Fresh, rows: list[Any], folder: str, why: str) -> None:
    other = fresh()
    other.extend(rows[1])
    before = clone(other.storage[:])
    try:
        other.loads(folder)
    except CheckpointError:
        require(equal(before, other.storage[:]), f"{why}: `loads` raised, but changed rows.")
        return
    raise RLError(f"{why}, and `loads` took the save.")


def _check_range(fresh: Fresh, rows: list[Any]) -> None:
    rb = fresh()
    rb.extend(rows[0])
    count = rb.storage.num_rows
    try:
        rb[count]
    except IndexError:
        return
    raise RLError(f"`rb[{count}]` of a buffer with {count} rows returned something.")
