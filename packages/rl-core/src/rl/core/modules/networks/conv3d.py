"""Stack of three-dimensional convolutions."""

from __future__ import annotations

from torch import nn

from rl.core.modules.networks.conv_stack import ConvStack

__all__ = ["Conv3dNet"]


class Conv3dNet(ConvStack):
    """Convolutions over volumes, or over images and time, then an aggregation into a vector.

    The arguments are those of `ConvNet`: `in_features`, `depth`, `num_cells`, `kernel_sizes`,
    `strides`, `paddings`, `activation_class`, `activation_kwargs`, `norm_class`, `norm_kwargs`,
    `bias_last_layer`, `aggregator_class` (default: flattens channels and voxels),
    `aggregator_kwargs`, `squeeze_output` (drops the last three dimensions when they are 1) and
    `device`.

    Inputs `[*B, C, D, H, W]` with any number of batch dimensions.

    Raises:
        ShapeError: per-layer lists have different lengths.

    Example:
        >>> import torch
        >>> net = Conv3dNet(num_cells=[8, 16], kernel_sizes=[4, 3], strides=[2, 1])
        >>> net(torch.zeros(5, 3, 10, 10, 10)).shape
        torch.Size([5, 128])
    """

    conv_class = nn.Conv3d
    lazy_conv_class = nn.LazyConv3d
    layout = ("C", "D", "H", "W")
