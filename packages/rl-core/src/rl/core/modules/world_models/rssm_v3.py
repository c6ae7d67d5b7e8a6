"""The recurrent state-space model with categorical states."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from rl.core.errors import RLError, ShapeError
from rl.core.modules.networks.mlp import MLP
from rl.core.modules.world_models.block_gru import BlockGRU
from rl.core.modules.world_models.categorical_latent import check_unimix, draw_latent
from rl.core.modules.world_models.dreamer_v3_mlp import init_linear, norm_layers
from rl.core.modules.world_models.rssm import flat_gru
from rl.core.specs.base import TensorSpec

__all__ = ["RSSMPosteriorV3", "RSSMPriorV3"]


class RSSMPriorV3(nn.Module):
    """Predict belief and categorical state from the previous ones and the action.

    `h' = f(h, z, a)`, `z' ~ Categorical(g(h'))` (Hafner et al. 2023, "World model learning").

    Args:
        action_spec: the action's spec, of which the shape is read; or give `action_shape`.
        hidden_dim: width of the layers.
        rnn_hidden_dim: size of the belief.
        num_categoricals: number N of categorical variables.
        num_classes: number K of their classes.
        action_dim: size of the action, all of its dimensions together; default: from the shape.
        device: device of the parameters.
        action_shape: the action's shape, instead of `action_spec`.
        recurrent_model: "gru" has a `torch.nn.GRUCell`, "block_gru" the paper's cell.
        num_blocks: blocks of the paper's cell; `rnn_hidden_dim` is a multiple of it.
        num_layers: layers of the paper's cell before its gates.
        prior_num_layers: hidden layers from belief to logits with the paper's cell; "gru" has one.
        norm_eps: epsilon of the norms.
        unimix: share of the uniform distribution that the state is drawn with; the paper has 0.01.
            The logits are without it, as the loss mixes its own.

    Raises:
        RLError: not exactly one of `action_spec` and `action_shape` is given, or an argument is
            out of its range.
        ShapeError: `action_dim` is not the size of the action, or `rnn_hidden_dim` no multiple of
            `num_blocks`.

    Example:
        >>> prior = RSSMPriorV3(action_shape=(2,), num_categoricals=4, num_classes=8)
        >>> logits, state, belief = prior(
        ...     torch.zeros(5, 32), torch.zeros(5, 512), torch.zeros(5, 2)
        ... )
        >>> logits.shape, state.shape, belief.shape
        (torch.Size([5, 4, 8]), torch.Size([5, 32]), torch.Size([5, 512]))
    """

    def __init__(  # noqa: PLR0913 - the arguments that TorchRL users pass
        self,
        action_spec: TensorSpec | None = None,
        hidden_dim: int = 512,
        rnn_hidden_dim: int = 512,
        num_categoricals: int = 32,
        num_classes: int = 32,
        action_dim: int | None = None,
        device: torch.device | str | int | None = None,
        *,
        action_shape: Sequence[int] | None = None,
        recurrent_model: Literal["gru", "block_gru"] = "gru",
        num_blocks: int = 8,
        num_layers: int = 1,
        prior_num_layers: int = 2,
        norm_eps: float = 1e-4,
        unimix: float = 0.0,
    ) -> None:
        super().__init__()
        self.action_shape = _action_shape(action_spec, action_shape)
        size = _action_size(self.action_shape, action_dim)
        self.num_categoricals, self.num_classes = num_categoricals, num_classes
        self.state_dim, self.rnn_hidden_dim = num_categoricals * num_classes, rnn_hidden_dim
        self.unimix = check_unimix("RSSMPriorV3", unimix)
        self.action_state_projector = None
        if recurrent_model == "gru":
            self.rnn = nn.GRUCell(hidden_dim, rnn_hidden_dim, device=device)
            self.action_state_projector = nn.Sequential(
                nn.Linear(self.state_dim + size, hidden_dim, device=device), nn.SiLU()
            )
            self.rnn_to_prior_projector = _head(
                rnn_hidden_dim, hidden_dim, 1, self.state_dim, device
            )
        elif recurrent_model == "block_gru":
            self.rnn = BlockGRU(
                self.state_dim,
                size,
                hidden_dim,
                rnn_hidden_dim,
                num_blocks,
                num_layers,
                norm_eps,
                device,
            )
            self.rnn_to_prior_projector = _normed_head(
                rnn_hidden_dim, hidden_dim, prior_num_layers, self.state_dim, norm_eps, device
            )
        else:
            raise RLError(
                f"`RSSMPriorV3` was given recurrent_model={recurrent_model!r}, expected 'gru' or "
                "'block_gru'."
            )

    def forward(
        self, state: Tensor, belief: Tensor, action: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits `[*B, N, K]` and draw `[*B, N K]` of the next state, and the next belief.

        Args:
            state: `[*B, N K]`.
            belief: `[*B, H]`.
            action: `[*B, *A]`.
        """
        action = self._flat_action(action, state).to(state.dtype)
        if self.action_state_projector is None:
            belief = self.rnn(state, belief, action)
        else:
            hidden = self.action_state_projector(torch.cat([state, action], -1))
            belief = flat_gru(self.rnn, hidden, belief)
        logits = self.rnn_to_prior_projector(belief)
        logits = logits.unflatten(-1, (self.num_categoricals, self.num_classes))
        return logits, draw_latent(logits, self.unimix), belief

    def _flat_action(self, action: Tensor, state: Tensor) -> Tensor:
        expected = (*state.shape[:-1], *self.action_shape)
        if action.shape != expected:
            raise ShapeError(
                f"The action has shape {list(action.shape)}, expected {list(expected)}: "
                "`RSSMPriorV3` was built for an action of shape "
                f"{list(self.action_shape)} and the state has batch {list(state.shape[:-1])}."
            )
        return action.reshape(*state.shape[:-1], -1)


class RSSMPosteriorV3(nn.Module):
    """Infer the categorical state from belief and encoded observation.

    `z ~ Categorical(f(h, e))` (Hafner et al. 2023, "World model learning").

    Args:
        hidden_dim: width of the hidden layers.
        num_categoricals: number N of categorical variables.
        num_classes: number K of their classes.
        rnn_hidden_dim: size of the belief, given together with `obs_embed_dim`; None infers the
            input's size at the first call.
        obs_embed_dim: size of the encoded observation.
        device: device of the parameters.
        use_rms_norm: have an RMS norm in each hidden layer, as the paper does.
        num_layers: number of hidden layers.
        norm_eps: epsilon of the norms.
        unimix: share of the uniform distribution that the state is drawn with; the paper has 0.01.
            The logits are without it, as the loss mixes its own.

    Raises:
        RLError: an argument is out of its range.

    Example:
        >>> posterior = RSSMPosteriorV3(num_categoricals=4, num_classes=8)
        >>> logits, state = posterior(torch.zeros(5, 512), torch.zeros(5, 16))
        >>> logits.shape, state.shape
        (torch.Size([5, 4, 8]), torch.Size([5, 32]))
    """

    def __init__(  # noqa: PLR0913 - the arguments that TorchRL users pass
        self,
        hidden_dim: int = 512,
        num_categoricals: int = 32,
        num_classes: int = 32,
        rnn_hidden_dim: int | None = None,
        obs_embed_dim: int | None = None,
        device: torch.device | str | int | None = None,
        *,
        use_rms_norm: bool = False,
        num_layers: int = 1,
        norm_eps: float = 1e-4,
        unimix: float = 0.0,
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise RLError(
                f"`RSSMPosteriorV3` was given num_layers={num_layers}, expected at least 1."
            )
        self.num_categoricals, self.num_classes = num_categoricals, num_classes
        self.unimix = check_unimix("RSSMPosteriorV3", unimix)
        known = rnn_hidden_dim is not None and obs_embed_dim is not None
        in_features = rnn_hidden_dim + obs_embed_dim if known else None
        out_features = num_categoricals * num_classes
        if use_rms_norm:
            self.obs_rnn_to_post_projector = _normed_head(
                in_features, hidden_dim, num_layers, out_features, norm_eps, device
            )
        else:
            self.obs_rnn_to_post_projector = _head(
                in_features, hidden_dim, num_layers, out_features, device
            )

    def forward(self, belief: Tensor, obs_embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits `[*B, N, K]` and draw `[*B, N K]` of the state.

        Args:
            belief: `[*B, H]`.
            obs_embedding: `[*B, E]`.
        """
        logits = self.obs_rnn_to_post_projector(torch.cat([belief, obs_embedding], -1))
        logits = logits.unflatten(-1, (self.num_categoricals, self.num_classes))
        return logits, draw_latent(logits, self.unimix)


Device = torch.device | str | int | None


def _head(
    in_features: int | None, hidden_dim: int, depth: int, out_features: int, device: Device
) -> MLP:
    return MLP(
        in_features=in_features,
        out_features=out_features,
        num_cells=[hidden_dim] * depth,
        activation_class=nn.SiLU,
        device=device,
    )


def _normed_head(
    in_features: int | None,
    hidden_dim: int,
    depth: int,
    out_features: int,
    norm_eps: float,
    device: Device,
) -> nn.Sequential:
    output = nn.Linear(hidden_dim, out_features, device=device)
    init_linear(output)
    return nn.Sequential(*norm_layers(in_features, hidden_dim, depth, norm_eps, device), output)


def _action_shape(spec: TensorSpec | None, shape: Sequence[int] | None) -> torch.Size:
    if (spec is None) == (shape is None):
        raise RLError(
            "`RSSMPriorV3` needs the action's shape once: pass either `action_spec=` or "
            "`action_shape=`."
        )
    return spec.shape if shape is None else torch.Size(shape)


def _action_size(shape: torch.Size, action_dim: int | None) -> int:
    size = math.prod(shape)
    if action_dim is not None and action_dim != size:
        raise ShapeError(
            f"`RSSMPriorV3` was given action_dim={action_dim} for an action of shape "
            f"{list(shape)}, which has {size} numbers: drop `action_dim`, or pass "
            "the spec of one env (`env.action_spec_unbatched`)."
        )
    return size
