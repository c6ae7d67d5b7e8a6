"""Multi-layer perceptron."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from rl.core.errors import ShapeError
from rl.core.modules.networks.layer_calls import run_layers
from rl.core.modules.networks.layer_plan import build, cells_per_layer, kwargs_for

__all__ = ["MLP"]


class SharedBias(nn.Module):
    """One bias added to every output."""

    def __init__(self, device: torch.device | str | int | None = None) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, device=device))

    def forward(self, x: Tensor) -> Tensor:
        """Add the bias."""
        return x + self.bias


class MLP(nn.Sequential):
    """Linear layers with an activation after each but the last.

    Args:
        in_features: size of the input; None infers it at the first call.
        out_features: size of the output, or its shape: `(2, 3)` gives `[*B, 2, 3]`.
        depth: number of hidden layers; default: as many as `num_cells`, or 0.
        num_cells: width of each hidden layer, or of all; default 32.
        activation_class: class, or factory, of the activation; default `nn.Tanh`.
        activation_kwargs: its arguments, one dict or one per layer.
        norm_class: class of the normalisation between layer and activation.
        norm_kwargs: its arguments, one dict or one per layer.
        dropout: probability of dropout after each hidden layer, or None.
        bias_last_layer: whether the last layer has a bias.
        single_bias_last_layer: replace the last layer's bias by one number for all outputs.
        layer_class: class of the layers, `nn.Linear` or one with its arguments (`NoisyLinear`).
        layer_kwargs: further arguments of the layers.
        activate_last_layer: put normalisation and activation after the last layer too.
        device: device of the parameters.
        activation: the same as `activation_class`.

    Inputs `[*B, F]`; several inputs are concatenated along the last dimension.

    Raises:
        ShapeError: `out_features` is missing, or depth and widths disagree.

    Example:
        >>> net = MLP(in_features=3, out_features=2, num_cells=[64, 64])
        >>> net(torch.zeros(5, 3)).shape
        torch.Size([5, 2])
    """

    def __init__(  # noqa: PLR0913 - the arguments that TorchRL users pass
        self,
        in_features: int | None = None,
        out_features: int | Sequence[int] | None = None,
        depth: int | None = None,
        num_cells: int | Sequence[int] | None = None,
        activation_class: type[nn.Module] | Callable[..., nn.Module] = nn.Tanh,
        activation_kwargs: dict | Sequence[dict] | None = None,
        norm_class: type[nn.Module] | Callable[..., nn.Module] | None = None,
        norm_kwargs: dict | Sequence[dict] | None = None,
        dropout: float | None = None,
        bias_last_layer: bool = True,
        single_bias_last_layer: bool = False,
        layer_class: type[nn.Module] | Callable[..., nn.Module] = nn.Linear,
        layer_kwargs: dict | None = None,
        activate_last_layer: bool = False,
        device: torch.device | str | int | None = None,
        *,
        activation: type[nn.Module] | Callable[..., nn.Module] | None = None,
    ) -> None:
        if out_features is None:
            raise ShapeError("`MLP` needs the size of its output: pass `out_features=`.")
        self_cells = cells_per_layer(
            "MLP", num_cells, 0 if _bare(depth, num_cells) else depth, [32]
        )
        shape = (out_features,) if isinstance(out_features, int) else tuple(out_features)
        widths = [*self_cells, math.prod(shape)]
        activation = activation_class if activation is None else activation
        layers: list[nn.Module] = []
        for index, width in enumerate(widths):
            last = index == len(widths) - 1
            kwargs = {**(layer_kwargs or {}), "device": device}
            if last:
                kwargs["bias"] = bias_last_layer and not single_bias_last_layer
            width_in = in_features if index == 0 else widths[index - 1]
            layers.append(_linear(layer_class, width_in, width, kwargs))
            if last and not activate_last_layer:
                break
            if dropout is not None:
                layers.append(nn.Dropout(dropout))
            if norm_class is not None:
                layers.append(build(norm_class, kwargs_for(norm_kwargs, index)))
            layers.append(build(activation, kwargs_for(activation_kwargs, index)))
        if single_bias_last_layer and bias_last_layer:
            layers.append(SharedBias(device))
        super().__init__(*layers)
        self.in_features = in_features
        self.out_features = out_features
        self._out_shape = shape if len(shape) > 1 else None

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return `[*B, *out_features]`."""
        x = inputs[0] if len(inputs) == 1 else torch.cat(inputs, -1)
        x = run_layers(self, x)
        return x if self._out_shape is None else x.unflatten(-1, self._out_shape)


def _bare(depth: int | None, num_cells: int | Sequence[int] | None) -> bool:
    return depth is None and num_cells is None


def _linear(
    layer_class: type[nn.Module] | Callable[..., nn.Module],
    in_features: int | None,
    out_features: int,
    kwargs: dict,
) -> nn.Module:
    if in_features is not None:
        return layer_class(in_features, out_features, **kwargs)
    lazy = nn.LazyLinear if layer_class is nn.Linear else getattr(layer_class, "lazy", None)
    if lazy is None:
        raise ShapeError(
            f"`{getattr(layer_class, '__name__', layer_class)}` has no lazy form: pass "
            "`in_features=` to `MLP`."
        )
    return lazy(out_features, **kwargs)
