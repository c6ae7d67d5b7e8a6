"""Exploration around a policy."""

__all__: list[str] = []
