"""Actors, critics and the modules they are made of."""

__all__: list[str] = []
