"""What convolutional stacks of two and three dimensions share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from rl.core.errors import ShapeError
from rl.core.modules.networks.layer_plan import build, cells_per_layer, kwargs_for, per_layer
from rl.core.modules.networks.reshaping import SquashDims

__all__ = ["ConvStack"]

_DEFAULT_CELLS = (32, 32, 32)


class ConvStack(nn.Sequential):
    """Convolutions with an activation after each, then an aggregation into a vector.

    Subclasses say over how many dimensions: `conv_class`, `lazy_conv_class`, `layout`.
    """

    conv_class: type[nn.Module]
    lazy_conv_class: type[nn.Module]
    # the dimensions of one input, channels first
    layout: tuple[str, ...]

    def __init__(  # noqa: PLR0913 - the arguments that TorchRL users pass
        self,
        in_features: int | None = None,
        depth: int | None = None,
        num_cells: int | Sequence[int] | None = None,
        kernel_sizes: int | tuple[int, ...] | Sequence = 3,
        strides: int | tuple[int, ...] | Sequence = 1,
        paddings: int | tuple[int, ...] | Sequence = 0,
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
        name = type(self).__name__
        lists = [v for v in (kernel_sizes, strides, paddings) if isinstance(v, list | tuple)]
        if depth is None and not isinstance(num_cells, list | tuple) and lists:
            depth = len(lists[0])
        cells = cells_per_layer(name, num_cells, depth, _DEFAULT_CELLS)
        shape = {
            "kernel_size": per_layer(name, "kernel_sizes", kernel_sizes, len(cells)),
            "stride": per_layer(name, "strides", strides, len(cells)),
            "padding": per_layer(name, "paddings", paddings, len(cells)),
        }
        layers: list[nn.Module] = []
        for index, width in enumerate(cells):
            kwargs = {name: values[index] for name, values in shape.items()}
            kwargs["bias"] = bias_last_layer or index < len(cells) - 1
            channels = in_features if index == 0 else cells[index - 1]
            layers.append(self._convolution(channels, width, {**kwargs, "device": device}))
            layers.append(build(activation_class, kwargs_for(activation_kwargs, index)))
            if norm_class is not None:
                layers.append(build(norm_class, kwargs_for(norm_kwargs, index)))
        if aggregator_class is not None:
            if aggregator_class is SquashDims and aggregator_kwargs is None:
                aggregator_kwargs = {"ndims_in": len(self.layout)}
            layers.append(build(aggregator_class, aggregator_kwargs or {}))
        super().__init__(*layers)
        self.in_features, self.out_features = in_features, cells[-1]
        self.squeeze_output = squeeze_output

    def _convolution(self, channels: int | None, width: int, kwargs: dict) -> nn.Module:
        if channels is None:
            return self.lazy_conv_class(width, **kwargs)
        return self.conv_class(channels, width, **kwargs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the features of each input.

        Raises:
            ShapeError: the input has fewer dimensions than its layout.
        """
        event = len(self.layout)
        if inputs.dim() < event:
            raise ShapeError(
                f"The image has shape {list(inputs.shape)}, expected "
                f"[*B, {', '.join(self.layout)}]: channels come first (`ToTensorImage`)."
            )
        batch = inputs.shape[:-event]
        x = inputs if len(batch) == 1 else inputs.reshape(-1, *inputs.shape[-event:])
        for layer in self:
            x = layer(x)
        if len(batch) != 1:
            x = x.reshape(*batch, *x.shape[1:])
        pooled = x.dim() >= event and all(size == 1 for size in x.shape[1 - event :])
        if self.squeeze_output and pooled:
            x = x.flatten(-event)
        return x
