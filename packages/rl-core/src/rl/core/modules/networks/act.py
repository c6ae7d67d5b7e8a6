"""Action chunking with transformers (Zhao et al. 2023)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from rl.core.errors import RLError, ShapeError

__all__ = ["ACTModel"]


class ACTModel(nn.Module):
    """A chunk of actions from one observation, with a style variable inferred in training.

    In training an encoder reads observation and demonstrated chunk and gives the posterior of the
    style z; the policy, an encoder over z and observation and a decoder with one query per action,
    reconstructs the chunk. Without a chunk z is 0, the mean of its prior (Zhao et al. 2023,
    section 4 and appendix C).

    Args:
        obs_dim: size of an observation.
        action_dim: size of an action.
        chunk_size: number of actions.
        hidden_dim: size of a token; even, and a multiple of `nheads`.
        nheads: number of attention heads.
        num_encoder_layers: layers of each of the two encoders.
        num_decoder_layers: layers of the decoder.
        latent_dim: size of z.
        dropout: probability of dropout.
        dim_feedforward: size of the hidden layer of a block; default `4 * hidden_dim`.

    Raises:
        RLError: `hidden_dim` is odd or not a multiple of `nheads`.
        ShapeError: at call, observation or chunk has another shape.

    Example:
        >>> model = ACTModel(6, 2, chunk_size=5, hidden_dim=32, nheads=2, dim_feedforward=64)
        >>> pred, mu, log_var = model(torch.zeros(3, 6), torch.zeros(3, 5, 2))
        >>> pred.shape, mu.shape
        (torch.Size([3, 5, 2]), torch.Size([3, 32]))
    """

    def __init__(  # noqa: PLR0913 - the arguments that TorchRL users pass
        self,
        obs_dim: int,
        action_dim: int,
        chunk_size: int,
        hidden_dim: int = 256,
        nheads: int = 8,
        num_encoder_layers: int = 4,
        num_decoder_layers: int = 7,
        latent_dim: int = 32,
        dropout: float = 0.1,
        dim_feedforward: int | None = None,
    ) -> None:
        super().__init__()
        if hidden_dim % 2 or hidden_dim % nheads:
            raise RLError(
                f"hidden_dim={hidden_dim} with nheads={nheads}: expected an even multiple of the "
                "number of heads, each of which takes an equal part."
            )
        self.obs_dim, self.action_dim = obs_dim, action_dim
        self.chunk_size, self.latent_dim = chunk_size, latent_dim
        layer = {
            "d_model": hidden_dim,
            "nhead": nheads,
            "dim_feedforward": 4 * hidden_dim if dim_feedforward is None else dim_feedforward,
            "dropout": dropout,
            "batch_first": True,
        }
        self.style_encoder = _encoder(layer, num_encoder_layers)
        self.style_token = nn.Parameter(torch.randn(1, 1, hidden_dim) * 0.02)
        self.style_obs = nn.Linear(obs_dim, hidden_dim)
        self.style_action = nn.Linear(action_dim, hidden_dim)
        self.style_head = nn.Linear(hidden_dim, 2 * latent_dim)
        self.register_buffer("positions", _sinusoids(chunk_size + 2, hidden_dim), persistent=False)

        self.latent_proj = nn.Linear(latent_dim, hidden_dim)
        self.obs_proj = nn.Linear(obs_dim, hidden_dim)
        self.source_positions = nn.Parameter(torch.randn(2, hidden_dim) * 0.02)
        self.encoder = _encoder(layer, num_encoder_layers)
        self.queries = nn.Parameter(torch.randn(chunk_size, hidden_dim) * 0.02)
        self.decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(**layer), num_decoder_layers
        )
        self.action_head = nn.Linear(hidden_dim, action_dim)

    def forward(
        self, observation: Tensor, action_chunk: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the chunk and the posterior's mean and log-variance.

        Args:
            observation: `[*B, obs_dim]`.
            action_chunk: `[*B, chunk_size, action_dim]` of a demonstration, None to act.

        Returns:
            The chunk `[*B, chunk_size, action_dim]`; mean and log-variance `[*B, latent_dim]`,
            zeros without a demonstration.
        """
        batch = self._check(observation, action_chunk)
        obs = observation.reshape(-1, self.obs_dim)
        if action_chunk is None:
            mu = log_var = obs.new_zeros(obs.shape[0], self.latent_dim)
            z = mu
        else:
            chunk = action_chunk.reshape(-1, self.chunk_size, self.action_dim)
            mu, log_var = self._posterior(obs, chunk)
            z = mu + (log_var / 2).exp() * torch.randn_like(mu) if self.training else mu
        pred = self._decode(obs, z)
        return tuple(x.reshape(*batch, *x.shape[1:]) for x in (pred, mu, log_var))

    def _posterior(self, obs: Tensor, chunk: Tensor) -> tuple[Tensor, Tensor]:
        first = self.style_token.expand(obs.shape[0], -1, -1)
        tokens = [first, self.style_obs(obs).unsqueeze(1), self.style_action(chunk)]
        summary = self.style_encoder(torch.cat(tokens, 1) + self.positions)[:, 0]
        return self.style_head(summary).chunk(2, -1)

    def _decode(self, obs: Tensor, z: Tensor) -> Tensor:
        source = torch.stack([self.latent_proj(z), self.obs_proj(obs)], 1)
        memory = self.encoder(source + self.source_positions)
        queries = self.queries.expand(obs.shape[0], -1, -1)
        return self.action_head(self.decoder(queries, memory))

    def _check(self, observation: Tensor, action_chunk: Tensor | None) -> torch.Size:
        batch = observation.shape[:-1]
        if observation.dim() == 0 or observation.shape[-1] != self.obs_dim:
            raise ShapeError(
                f"The observation has shape {list(observation.shape)}, expected "
                f"[*B, {self.obs_dim}]: set `obs_dim` to its size."
            )
        wanted = (*batch, self.chunk_size, self.action_dim)
        if action_chunk is not None and action_chunk.shape != wanted:
            raise ShapeError(
                f"The action chunk has shape {list(action_chunk.shape)}, expected {list(wanted)}: "
                "give the next `chunk_size` actions of each observation (`ActionChunkTransform`)."
            )
        return batch


def _encoder(layer: dict, depth: int) -> nn.TransformerEncoder:
    return nn.TransformerEncoder(
        nn.TransformerEncoderLayer(**layer), depth, enable_nested_tensor=False
    )


def _sinusoids(length: int, size: int) -> Tensor:
    """Return the positions of Vaswani et al. 2017, section 3.5, `[length, size]`."""
    rate = torch.exp(torch.arange(0, size, 2) * (-math.log(10000.0) / size))
    angle = torch.arange(length).unsqueeze(-1) * rate
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)
