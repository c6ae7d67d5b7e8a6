"""Networks of learned models: Dreamer's, and models of any parts."""

__all__: list[str] = []
