"""Recipes: one readable file per algorithm, made of the public parts of the wheels."""

__all__: list[str] = []
