"""The transforms of a buffer: a chain that knows what the buffer must do for its parts."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rl.core.errors import RLError
from rl.core.transform import Compose, Transform
from rl.data.storages.base import Storage
from rl.data.transforms.memory import WriteMemory

__all__ = ["BufferChain"]


class BufferChain(Compose):
    """The transforms of a buffer.

    Attributes:
        reads_rows: whether a transform reads other rows than those of the batch, so that the buffer
            must not change before it has run.

    Args:
        buffer: the buffer.
    """

    def __init__(self, buffer: object) -> None:
        super().__init__()
        self.bind(buffer)
        self._plan()

    def bind(self, buffer: object) -> None:
        """Take the buffer whose transforms these are; it is not kept alive."""
        self.__dict__["_buffer"] = weakref.ref(buffer)

    @property
    def buffer(self) -> Any:  # noqa: ANN401
        """The buffer; those of its transforms that read other rows find it here."""
        return self._buffer()

    def __getstate__(self) -> dict[str, Any]:
        # the buffer binds its copy of the chain anew
        return {key: value for key, value in vars(self).items() if key != "_buffer"}

    def _plan(self) -> None:
        parts = list(self.modules())[1:]
        self.__dict__["_memories"] = [p for p in parts if isinstance(p, WriteMemory)]
        self.reads_rows = any(getattr(part, "reads_rows", False) for part in parts)
        self._is_empty = not len(self)
        self._inverts = any(transform.has_inverse for transform in self.transforms)

    @property
    def has_inverse(self) -> bool:
        """Whether anything happens on the way in."""
        return self._inverts

    def insert(self, index: int, transform: Transform) -> None:
        """Add a transform before position `index`."""
        super().insert(index, transform)
        self._plan()

    def pop(self, index: int = -1) -> Transform:
        """Remove and return the transform at `index`."""
        transform = super().pop(index)
        self._plan()
        return transform

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Give transforms that remember writes their memory back if the write fails."""
        before = [part.memory for part in self._memories]
        try:
            yield
        except Exception:
            for part, memory in zip(self._memories, before, strict=True):
                part.memory = memory
            raise

    def check_unordered(self, method: str) -> None:
        """Raise if a transform needs steps in their order, which `method` does not give.

        Raises:
            RLError: there is such a transform.
        """
        for part in self._memories:
            if part.in_order:
                raise RLError(
                    f"`{type(part).__name__}` needs steps that follow each other, and `{method}` "
                    "gives single rows: write with `extend`."
                )

    def check_immediate(self, priority_key: object) -> None:
        """Raise if the rows written are not those given, whose priorities they would get.

        Raises:
            RLError: a transform keeps steps for later writes.
        """
        for part in self._memories:
            if part.in_order:
                raise RLError(
                    f"The data hold priorities (`{priority_key}`), and `{type(part).__name__}` "
                    "writes some of their steps later: drop the entry, new rows get the default "
                    "priority, or pass `update_priority=False`."
                )

    def before_write(self, storage: Storage, data: Any) -> None:  # noqa: ANN401
        """Tell transforms that remember writes how many rows come; `data` None stands for one."""
        if self._memories:
            count = 1 if data is None else storage.rows_of(data)
            for part in self._memories:
                part.before_write(count)

    def forget(self) -> None:
        """Forget earlier writes."""
        for part in self._memories:
            part.reset()

    def on_rows(self, data: Any) -> Any:  # noqa: ANN401
        """Transform a batch, if there is any transform."""
        return data if self._is_empty else self(data)
