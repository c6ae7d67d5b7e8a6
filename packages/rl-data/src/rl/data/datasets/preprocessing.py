"""Mapping a function over the rows of a dataset, into a new one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tensordict import TensorDictBase

from rl.data.datasets.columns import ColumnWriter

__all__ = ["preprocess_rows"]


def preprocess_rows(
    fn: Callable[[TensorDictBase], TensorDictBase],
    rows: TensorDictBase,
    dest: str | os.PathLike[str],
    *,
    count: int,
    chunk: int,
    num_workers: int = 0,
    start_method: str | None = None,
) -> None:
    """Write `fn` of the first `count` rows to a converted dataset at `dest`, in their order.

    Args:
        fn: takes and returns a batch of rows.
        rows: `[n, ...]`.
        dest: folder of the new dataset.
        count: number of rows that are taken.
        chunk: rows per call.
        num_workers: worker processes; 0 calls `fn` here.
        start_method: how workers start.

    Raises:
        DatasetError: `fn` returns other keys, shapes or dtypes for some batch.

    Example:
        >>> import tempfile, torch
        >>> from tensordict import TensorDict
        >>> from rl.data.datasets.columns import open_converted
        >>> rows, dest = TensorDict({"x": torch.arange(5)}, [5]), tempfile.mkdtemp() + "/twice"
        >>> preprocess_rows(lambda td: td.set("x", 2 * td["x"]), rows, dest, count=5, chunk=2)
        >>> open_converted(dest).rows["x"].tolist()
        [0, 2, 4, 6, 8]
    """
    with ColumnWriter(dest) as writer:
        for result in _results(fn, _chunks(rows, count, chunk), num_workers, start_method):
            writer.append(result.to_dict())


def _chunks(rows: TensorDictBase, count: int, chunk: int) -> Iterator[TensorDictBase]:
    for start in range(0, count, chunk):
        yield rows[start : min(start + chunk, count)].clone()


def _results(
    fn: Callable[[TensorDictBase], TensorDictBase],
    chunks: Iterator[TensorDictBase],
    num_workers: int,
    start_method: str | None,
) -> Iterator[TensorDictBase]:
    if not num_workers:
        yield from map(fn, chunks)
        return
    with ProcessPoolExecutor(num_workers, get_context(start_method)) as pool:
        waiting = []
        for chunk in chunks:
            waiting.append(pool.submit(fn, chunk))
            if len(waiting) > 2 * num_workers:  # so that memory holds few batches
                yield waiting.pop(0).result()
        for result in waiting:
            yield result.result()
