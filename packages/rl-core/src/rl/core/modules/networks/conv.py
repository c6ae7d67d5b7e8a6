"""Stack of two-dimensional convolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from rl.core.errors import ShapeError
from rl.core.modules.networks.layer_plan import build, cells_per_layer, kwargs_for, per_layer

__all__ = ["Conv2dNet", "ConvNet"]

_DEFAULT_CELLS = (32, 32, 32)


class SquashDims(nn.Module):
    """Flatten the last `ndims_in` dimensions into one."""

    def __init__(self, ndims_in: int = 3) -> None:
        super().__init__()
        self.ndims_in = ndims_in

    def forward(self, x: Tensor) -> Tensor:
        """Return `[*B, C * H * W]`."""
        return x.flatten(-self.ndims_in)


class ConvNet(nn.Sequential):
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
        >>> net = ConvNet(num_cells=[8, 16], kernel_sizes=[4, 3], strides=[2, 1])
        >>> net(torch.zeros(5, 3, 20, 20)).shape
        torch.Size([5, 784])
    """

    def __init__(  # noqa: PLR0913 - the arguments that TorchRL users pass
        self,
        in_features: int | None = None,
        depth: int | None = None,
        num_cells: int | Sequence[int] | None = None,
        kernel_sizes: int | tuple[int, int] | Sequence = 3,
        strides: int | tuple[int, int] | Sequence = 1,
        paddings: int | tuple[int, int] | Sequence = 0,
        activation_class: type[nn.Module] | Callable[..., nn.Module] = nn.ELU,
        activation_kwargs: dict | Sequence[dict] | None = None,
        norm_class: type[nn.Module] | Callable[..., nn.Module] | None = None,
        norm_kwargs: dict | Sequence[dict] | None = None,
        bias_last_layer: bool = True,
        aggregator_class: type[nn.Module] | Callable[..., nn.Module] | None = SquashDims,
        aggregator_kwargs: dict | None = None,
        squeeze_output: bool = False,
        device: torch.device | str | int | None = None,
    ) -> None:
        lists = [v for v in (kernel_sizes, strides, paddings) if isinstance(v, list | tuple)]
        if depth is None and not isinstance(num_cells, list | tuple) and lists:
            depth = len(lists[0])
        cells = cells_per_layer("ConvNet", num_cells, depth, _DEFAULT_CELLS)
        shape = {
            "kernel_size": per_layer("ConvNet", "kernel_sizes", kernel_sizes, len(cells)),
            "stride": per_layer("ConvNet", "strides", strides, len(cells)),
            "padding": per_layer("ConvNet", "paddings", paddings, len(cells)),
        }
        layers: list[nn.Module] = []
        for index, width in enumerate(cells):
            kwargs = {name: values[index] for name, values in shape.items()}
            kwargs["bias"] = bias_last_layer or index < len(cells) - 1
            channels = in_features if index == 0 else cells[index - 1]
            layers.append(_convolution(channels, width, kwargs, device))
            layers.append(build(activation_class, kwargs_for(activation_kwargs, index)))
            if norm_class is not None:
                layers.append(build(norm_class, kwargs_for(norm_kwargs, index)))
        if aggregator_class is not None:
            layers.append(build(aggregator_class, aggregator_kwargs or {}))
        super().__init__(*layers)
        self.in_features, self.out_features = in_features, cells[-1]
        self.squeeze_output = squeeze_output

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the features of `[*B, C, H, W]` images.

        Raises:
            ShapeError: the input has fewer than three dimensions.
        """
        if inputs.dim() < 3:
            raise ShapeError(
                f"The image has shape {list(inputs.shape)}, expected [*B, C, H, W]: channels come "
                "first (`ToTensorImage`)."
            )
        batch = inputs.shape[:-3]
        x = inputs if len(batch) == 1 else inputs.reshape(-1, *inputs.shape[-3:])
        for layer in self:
            x = layer(x)
        if len(batch) != 1:
            x = x.reshape(*batch, *x.shape[1:])
        if self.squeeze_output and x.shape[-2:] == (1, 1):
            x = x.flatten(-3)
        return x


Conv2dNet = ConvNet


def _convolution(
    channels: int | None, width: int, kwargs: dict, device: torch.device | str | int | None
) -> nn.Module:
    if channels is None:
        return nn.LazyConv2d(width, **kwargs, device=device)
    return nn.Conv2d(channels, width, **kwargs, device=device)
