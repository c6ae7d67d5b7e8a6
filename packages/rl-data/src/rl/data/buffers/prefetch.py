"""Batches made ahead of time that are exactly the batches that would have been made on demand."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rl.data.samplers.base import Sampler

__all__ = ["Prefetcher"]

Draw = tuple[Any, dict[str, Any]]


@dataclass(slots=True)
class _State:
    """What a draw depends on, besides the rows and their number."""

    sampler: dict[str, Any]
    random: Tensor

    def equals(self, other: _State) -> bool:
        mine, theirs = self.sampler, other.sampler
        if mine.keys() != theirs.keys() or not torch.equal(self.random, other.random):
            return False
        return all(_same(mine[key], theirs[key]) for key in mine)


@dataclass(slots=True)
class _Ahead:
    """A batch in the making."""

    before: _State
    after: _State
    key: tuple[int, int]
    draw: Draw
    fetched: Future[Any]


class Prefetcher:
    """Draws the next batches early and fetches their rows in threads.

    A draw made early is a guess: it is handed out only if, when its turn comes, nothing that it
    depends on has changed (rows, priorities, sampler, random state); otherwise it is thrown away
    and made anew. Prefetching changes the time of the work, never its result.

    Guesses are made only while batches follow each other without a write, one more for each, so
    that a loop which writes or updates priorities after every batch pays nothing.

    Args:
        depth: largest number of batches ahead.
        sampler: makes the draws; `generator` is read from it.
        draw: makes a draw of a given size.
        fetch: turns a draw into a batch; runs in a thread.
    """

    def __init__(
        self,
        depth: int,
        sampler: Sampler,
        draw: Callable[[int], Draw],
        fetch: Callable[[Draw], Any],
    ) -> None:
        self._depth = depth
        self._sampler = sampler
        self._draw = draw
        self._fetch = fetch
        self._queue: deque[_Ahead] = deque()
        self._pool: ThreadPoolExecutor | None = None
        self._key: tuple[int, int] | None = None
        self._streak = 0
        self.hits = 0

    def next(self, batch_size: int, version: int) -> tuple[Draw, Any]:
        """Return the next draw and its batch.

        Args:
            batch_size: size of the draw.
            version: a number that changes whenever rows or priorities do.
        """
        key = (batch_size, version)
        self._streak = self._streak + 1 if key == self._key else 0
        self._key = key
        ahead = self._take(key)
        if ahead is None:
            draw = self._draw(batch_size)
            fetched = self._fetch(draw)
            self._fill(key)
            return draw, fetched
        self._put_back(ahead.after)
        self._fill(key)
        self.hits += 1
        return ahead.draw, ahead.fetched.result()

    @property
    def queue_size(self) -> int:
        """Number of batches in the making."""
        return len(self._queue)

    def shutdown(self) -> None:
        """Throw the guesses away and end the threads."""
        self._queue.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _take(self, key: tuple[int, int]) -> _Ahead | None:
        if not self._queue:
            return None
        ahead = self._queue.popleft()
        if ahead.key == key and ahead.before.equals(self._capture()):
            return ahead
        for stale in (ahead, *self._queue):
            stale.fetched.cancel()
        self._queue.clear()
        return None

    def _fill(self, key: tuple[int, int]) -> None:
        wanted = min(self._depth, self._streak) - len(self._queue)
        if wanted <= 0:
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._depth, thread_name_prefix="rl-prefetch")
        now = self._capture()
        before = self._queue[-1].after if self._queue else now
        try:
            self._put_back(before)
            for _ in range(wanted):
                draw = self._draw(key[0])
                after = self._capture()
                future = self._pool.submit(self._fetch, draw)
                self._queue.append(_Ahead(before, after, key, draw, future))
                before = after
        except Exception:  # a guess that fails is drawn again, and raises, when its turn comes
            return
        finally:
            self._put_back(now)

    def _capture(self) -> _State:
        generator = self._sampler.generator
        random = torch.get_rng_state() if generator is None else generator.get_state()
        return _State(self._sampler.snapshot(), random)

    def _put_back(self, state: _State) -> None:
        self._sampler.restore(state.sampler)
        generator = self._sampler.generator
        if generator is None:
            torch.set_rng_state(state.random)
        else:
            generator.set_state(state.random)


def _same(a: object, b: object) -> bool:
    return a is b or (isinstance(a, int | float | str) and a == b)
