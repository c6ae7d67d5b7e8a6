"""Planners that simulate an env."""

__all__: list[str] = []
