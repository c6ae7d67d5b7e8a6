"""A network whose output is split into location and scale."""

from __future__ import annotations

from tensordict.nn import NormalParamExtractor
from torch import Tensor, nn

__all__ = ["NormalParamWrapper", "NormalParamsWrapper"]


class NormalParamWrapper(nn.Module):
    """Split a network's output into `loc` and a positive `scale`.

    The same as `nn.Sequential(operator, NormalParamExtractor(...))`.

    Args:
        operator: a network with an even number of outputs.
        scale_mapping: name of the positive map, as in `NormalParamExtractor`.
        scale_lb: smallest scale.

    Example:
        >>> import torch
        >>> loc, scale = NormalParamWrapper(nn.Linear(3, 4))(torch.zeros(5, 3))
        >>> loc.shape, bool((scale > 0).all())
        (torch.Size([5, 2]), True)
    """

    def __init__(
        self,
        operator: nn.Module,
        scale_mapping: str = "biased_softplus_1.0",
        scale_lb: float = 1e-4,
    ) -> None:
        super().__init__()
        self.operator = operator
        self.extract = NormalParamExtractor(scale_mapping=scale_mapping, scale_lb=scale_lb)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return location and scale, each half of the operator's outputs."""
        return self.extract(self.operator(*inputs))


NormalParamsWrapper = NormalParamWrapper
