"""The recurrent state-space model with Gaussian states."""

from __future__ import annotations

import torch
from tensordict.nn import NormalParamExtractor
from torch import Tensor, nn

from rl.core.errors import SpecError
from rl.core.modules.networks.mlp import MLP
from rl.core.specs.base import TensorSpec

__all__ = ["RSSMPosterior", "RSSMPrior", "flat_gru"]


class RSSMPrior(nn.Module):
    """Predict belief and state from the previous ones and the action.

    `h' = GRU(h, f(s, a))`, `s' ~ Normal(mean(h'), std(h'))` (Hafner et al. 2019, eq. 4; Hafner et
    al. 2020, section 4). The state s is stochastic, the belief h deterministic.

    Args:
        action_spec: the action's spec; only its last dimension is read, and checked against
            `action_dim`.
        hidden_dim: width of the layers, and input of the GRU.
        rnn_hidden_dim: size of the belief.
        state_dim: size of the state.
        scale_lb: smallest standard deviation.
        action_dim: size of the action; None infers the input's size at the first call.
        device: device of the parameters.

    Raises:
        SpecError: `action_dim` is not the size that the spec gives.

    Example:
        >>> from rl.core.specs import Bounded
        >>> prior = RSSMPrior(Bounded(-1.0, 1.0, (2,)))
        >>> out = prior(torch.zeros(5, 30), torch.zeros(5, 200), torch.zeros(5, 2))
        >>> [x.shape[-1] for x in out]
        [30, 30, 30, 200]
    """

    def __init__(
        self,
        action_spec: TensorSpec,
        hidden_dim: int = 200,
        rnn_hidden_dim: int = 200,
        state_dim: int = 30,
        scale_lb: float = 0.1,
        action_dim: int | None = None,
        device: torch.device | str | int | None = None,
    ) -> None:
        super().__init__()
        if action_dim is not None and action_spec.shape and action_spec.shape[-1] != action_dim:
            raise SpecError(
                f"`RSSMPrior` was given action_dim={action_dim}, its `action_spec` has shape "
                f"{list(action_spec.shape)}: drop `action_dim`, or pass the spec of that action."
            )
        self.state_dim, self.rnn_hidden_dim = state_dim, rnn_hidden_dim
        self.action_shape = action_spec.shape
        self.rnn = nn.GRUCell(hidden_dim, rnn_hidden_dim, device=device)
        self.action_state_projector = MLP(
            in_features=None if action_dim is None else action_dim + state_dim,
            out_features=hidden_dim,
            activation_class=nn.ELU,
            activate_last_layer=True,
            device=device,
        )
        self.rnn_to_prior_projector = _normal(rnn_hidden_dim, hidden_dim, state_dim, device)
        self.extract = NormalParamExtractor(scale_lb=scale_lb, scale_mapping="softplus")

    def forward(
        self, state: Tensor, belief: Tensor, action: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return mean, standard deviation and draw of the next state, and the next belief.

        Args:
            state: `[*B, S]`.
            belief: `[*B, H]`.
            action: `[*B, A]`.
            noise: `[*B, S]` standard normal numbers of the draw; drawn if None.
        """
        hidden = self.action_state_projector(state, action)
        belief = flat_gru(self.rnn, hidden, belief)
        mean, std = self.extract(self.rnn_to_prior_projector(belief))
        return mean, std, _draw(mean, std, noise), belief


class RSSMPosterior(nn.Module):
    """Infer the state from belief and encoded observation.

    `s ~ Normal(mean(h, e), std(h, e))` (Hafner et al. 2019, section 3; Hafner et al. 2020,
    section 4).

    Args:
        hidden_dim: width of the hidden layer.
        state_dim: size of the state.
        scale_lb: smallest standard deviation.
        rnn_hidden_dim: size of the belief, given together with `obs_embed_dim`; None infers the
            input's size at the first call.
        obs_embed_dim: size of the encoded observation.
        device: device of the parameters.

    Example:
        >>> posterior = RSSMPosterior()
        >>> mean, std, state = posterior(torch.zeros(5, 200), torch.zeros(5, 1024))
        >>> state.shape
        torch.Size([5, 30])
    """

    def __init__(
        self,
        hidden_dim: int = 200,
        state_dim: int = 30,
        scale_lb: float = 0.1,
        rnn_hidden_dim: int | None = None,
        obs_embed_dim: int | None = None,
        device: torch.device | str | int | None = None,
    ) -> None:
        super().__init__()
        known = rnn_hidden_dim is not None and obs_embed_dim is not None
        self.obs_rnn_to_post_projector = _normal(
            rnn_hidden_dim + obs_embed_dim if known else None, hidden_dim, state_dim, device
        )
        self.extract = NormalParamExtractor(scale_lb=scale_lb, scale_mapping="softplus")

    def forward(
        self, belief: Tensor, obs_embedding: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean, standard deviation and draw of the state.

        Args:
            belief: `[*B, H]`.
            obs_embedding: `[*B, E]`.
            noise: `[*B, S]` standard normal numbers of the draw; drawn if None.
        """
        mean, std = self.extract(self.obs_rnn_to_post_projector(belief, obs_embedding))
        return mean, std, _draw(mean, std, noise)


def flat_gru(cell: nn.Module, hidden: Tensor, belief: Tensor) -> Tensor:
    """Return the next belief `[*B, H]` of a cell that takes one batch dimension."""
    batch = belief.shape[:-1]
    out = cell(hidden.reshape(-1, hidden.shape[-1]), belief.reshape(-1, belief.shape[-1]))
    return out.reshape(*batch, out.shape[-1])


def _normal(
    in_features: int | None,
    hidden_dim: int,
    state_dim: int,
    device: torch.device | str | int | None,
) -> MLP:
    return MLP(
        in_features=in_features,
        out_features=2 * state_dim,
        num_cells=[hidden_dim],
        activation_class=nn.ELU,
        device=device,
    )


def _draw(mean: Tensor, std: Tensor, noise: Tensor | None) -> Tensor:
    return mean + std * (torch.randn_like(std) if noise is None else noise)
