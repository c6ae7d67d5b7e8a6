"""Stack of two-dimensional convolutions."""

from __future__ import annotations

from torch import nn

from rl.core.modules.networks.conv_stack import ConvStack

__all__ = ["Conv2dNet", "ConvNet"]


class ConvNet(ConvStack):
    """Convolutions with an activation after each, then an aggregation into a vector.

    Args:
        in_features: number of channels of the input; None infers it at the first call.
        depth: number of layers; default: as many as the per-layer lists, or 3.
        num_cells: channels of each layer, or of all; default 32.
        kernel_sizes: kernel of each layer, or of all.
        strides: stride of each layer, or of all.
        paddings: padding of each layer, or of all.
        activation_class: class, or factory, of the activation.
        activation_kwargs: its arguments, one dict or one per layer.
        norm_class: class of the normalisation after the activation.
        norm_kwargs: its arguments, one dict or one per layer.
        bias_last_layer: whether the last convolution has a bias.
        aggregator_class: module after the last layer; default flattens channels and pixels. None
            leaves `[*B, C, H, W]`.
        aggregator_kwargs: its arguments.
        squeeze_output: drop the last two dimensions when they are 1.
        device: device of the parameters.

    Inputs `[*B, C, H, W]` with any number of batch dimensions.

    Raises:
        ShapeError: per-layer lists have different lengths.

    Example:
        >>> import torch
        >>> net = ConvNet(num_cells=[8, 16], kernel_sizes=[4, 3], strides=[2, 1])
        >>> net(torch.zeros(5, 3, 20, 20)).shape
        torch.Size([5, 784])
    """

    conv_class = nn.Conv2d
    lazy_conv_class = nn.LazyConv2d
    layout = ("C", "H", "W")


Conv2dNet = ConvNet
