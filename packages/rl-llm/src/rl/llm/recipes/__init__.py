"""Recipes: one readable file per algorithm."""

__all__: list[str] = []
