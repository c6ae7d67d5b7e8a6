"""Scores of actions in tree search and bandits."""

__all__: list[str] = []
