"""Normalisation and rescaling of value targets."""

__all__: list[str] = []
