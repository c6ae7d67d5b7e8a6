"""Bringing components back to what they held, when a load fails."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Undo"]


class Undo:
    """What was done to components, to undo it, the last first: components may share tensors.

    Example:
        >>> held, undo = [1], Undo()
        >>> undo.note("list", lambda: held.pop())
        >>> held.append(2)
        >>> undo.run(), held
        ('', [1])
    """

    def __init__(self) -> None:
        self._notes: list[tuple[str, Callable[[], object]]] = []

    def note(self, name: str, bring_back: Callable[[], object]) -> None:
        """Note how a component is brought back."""
        self._notes.append((name, bring_back))

    def run(self) -> str:
        """Bring every component back; return the sentences about those that refused."""
        told = ""
        while self._notes:
            name, bring_back = self._notes.pop()
            try:
                bring_back()
            except Exception as error:
                told += f" Component `{name}` could not be brought back to what it held: {error}"
        return told
