"""Networks for groups of agents."""

__all__: list[str] = []
