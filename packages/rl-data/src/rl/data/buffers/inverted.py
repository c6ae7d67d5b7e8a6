"""A transform used the other way round."""

from __future__ import annotations

from tensordict import TensorDictBase

from rl.core.transform import Transform

__all__ = ["Inverted"]


class Inverted(Transform):
    """Applies the inverse of a transform on reading and the transform itself on writing.

    Args:
        transform: the transform.

    Example:
        >>> Inverted(Transform()).has_inverse
        True
    """

    def __init__(self, transform: Transform) -> None:
        super().__init__()
        self.transform = transform

    @property
    def has_inverse(self) -> bool:
        """True: something happens on writing."""
        return True

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Apply the inverse."""
        return self.transform.inv(tensordict)

    def _inv_call(self, tensordict: TensorDictBase) -> TensorDictBase:
        return self.transform(tensordict)
