"""The convolutional encoder and decoder of World Models and Dreamer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rl.core.errors import RLError, ShapeError
from rl.core.modules.networks.layer_plan import per_layer

__all__ = ["ObsDecoder", "ObsEncoder"]

_ENCODER_KERNEL = 4
_DECODER_KERNELS = (5, 5, 6, 6)
_DECODER_KERNEL = 5
_STRIDE = 2
# channels of the latent image, of one pixel, for each channel of the last hidden layer
_LATENT_FACTOR = 32


class ObsEncoder(nn.Module):
    """Convolutions of kernel 4 and stride 2 that double the channels, flattened.

    Ha and Schmidhuber 2018, appendix A.1. A 64 x 64 image gives 1024 features by default.

    Args:
        channels: channels of the first layer.
        num_layers: number of layers.
        in_channels: channels of the image; None infers them at the first call.
        depth: the same as `channels`.
        device: device of the parameters.

    Raises:
        RLError: `num_layers` is not positive.
        ShapeError: at call, the input has no channels, rows and columns, or too few of them.

    Example:
        >>> ObsEncoder()(torch.zeros(5, 3, 64, 64)).shape
        torch.Size([5, 1024])
    """

    def __init__(
        self,
        channels: int = 32,
        num_layers: int = 4,
        in_channels: int | None = None,
        depth: int | None = None,
        device: torch.device | str | int | None = None,
    ) -> None:
        super().__init__()
        channels = channels if depth is None else depth
        _check_layers("ObsEncoder", num_layers, 1)
        layers: list[nn.Module] = []
        for index in range(num_layers):
            width, kwargs = channels * 2**index, {"stride": _STRIDE, "device": device}
            if index == 0 and in_channels is None:
                layers.append(nn.LazyConv2d(width, _ENCODER_KERNEL, **kwargs))
            else:
                width_in = in_channels if index == 0 else width // 2
                layers.append(nn.Conv2d(width_in, width, _ENCODER_KERNEL, **kwargs))
            layers.append(nn.ReLU())
        self.encoder = nn.Sequential(*layers)
        self.num_layers = num_layers

    def forward(self, observation: Tensor) -> Tensor:
        """Return the features `[*B, F]` of images `[*B, C, H, W]`."""
        least = _least_side(self.num_layers)
        if observation.dim() < 3 or min(observation.shape[-2:]) < least:
            raise ShapeError(
                f"The image has shape {list(observation.shape)}, `ObsEncoder` with "
                f"{self.num_layers} layers expects [*B, C, H, W] with H and W of at least {least}: "
                "resize it, or lower `num_layers`."
            )
        batch = observation.shape[:-3]
        features = self.encoder(observation.reshape(-1, *observation.shape[-3:]))
        return features.reshape(*batch, math.prod(features.shape[1:]))


class ObsDecoder(nn.Module):
    """Transposed convolutions of stride 2 that rebuild an image from state and belief.

    Hafner et al. 2019, appendix A. The defaults give 64 x 64 images.

    Args:
        channels: channels of the last hidden layer; the layers before have twice those of the next.
        num_layers: number of transposed convolutions.
        kernel_sizes: kernel of each layer, or of all; default `[5, 5, 6, 6]` for four layers, else
            5 for all.
        latent_dim: size of state and belief together; None infers it at the first call.
        out_channels: channels of the image.
        depth: the same as `channels`.
        device: device of the parameters.

    Raises:
        RLError: `num_layers` is below 2.
        ShapeError: `kernel_sizes` has another length.

    Example:
        >>> ObsDecoder()(torch.zeros(5, 30), torch.zeros(5, 200)).shape
        torch.Size([5, 3, 64, 64])
    """

    def __init__(
        self,
        channels: int = 32,
        num_layers: int = 4,
        kernel_sizes: int | Sequence[int] | None = None,
        latent_dim: int | None = None,
        out_channels: int = 3,
        depth: int | None = None,
        device: torch.device | str | int | None = None,
    ) -> None:
        super().__init__()
        channels = channels if depth is None else depth
        _check_layers("ObsDecoder", num_layers, 2)
        if kernel_sizes is None:
            kernel_sizes = _DECODER_KERNELS if num_layers == 4 else _DECODER_KERNEL
        kernels = per_layer("ObsDecoder", "kernel_sizes", kernel_sizes, num_layers)
        width = channels * _LATENT_FACTOR
        self.state_to_latent = nn.Sequential(_linear(latent_dim, width, device), nn.ReLU())
        layers: list[nn.Module] = []
        for index, kernel in enumerate(kernels):
            last = index == num_layers - 1
            width_out = out_channels if last else channels * 2 ** (num_layers - 2 - index)
            layers.append(nn.ConvTranspose2d(width, width_out, kernel, _STRIDE, device=device))
            if not last:
                layers.append(nn.ReLU())
            width = width_out
        self.decoder = nn.Sequential(*layers)

    def forward(self, state: Tensor, rnn_hidden: Tensor) -> Tensor:
        """Return the image `[*B, C, H, W]` of state `[*B, S]` and belief `[*B, H]`."""
        latent = self.state_to_latent(torch.cat([state, rnn_hidden], -1))
        batch = latent.shape[:-1]
        image = self.decoder(latent.reshape(-1, latent.shape[-1], 1, 1))
        return image.reshape(*batch, *image.shape[1:])


def _check_layers(name: str, num_layers: int, least: int) -> None:
    if num_layers < least:
        raise RLError(f"`{name}` was given num_layers={num_layers}, expected at least {least}.")


def _least_side(num_layers: int) -> int:
    """Return the least height that leaves a pixel after all layers."""
    side = 1
    for _ in range(num_layers):
        side = (side - 1) * _STRIDE + _ENCODER_KERNEL
    return side


def _linear(
    in_features: int | None, out_features: int, device: torch.device | str | int | None
) -> nn.Module:
    if in_features is None:
        return nn.LazyLinear(out_features, device=device)
    return nn.Linear(in_features, out_features, device=device)
