"""Networks of tensors."""

__all__: list[str] = []
