"""Decision transformers: a policy as a sequence model of returns, states and actions."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rl.core.errors import RLError, ShapeError
from rl.core.modules.networks.causal_transformer import CausalTransformer, DTConfig

__all__ = ["DTActor", "DecisionTransformer", "OnlineDTActor"]

_LOG_STD_MIN, _LOG_STD_MAX = -5.0, 2.0


class DecisionTransformer(nn.Module):
    """Features of each step from the returns-to-go and states up to it and the actions before it.

    Each step becomes three tokens, return, state, action, to which the embedding of the step's
    position is added (Chen et al. 2021, section 3); a causal transformer runs over them and its
    outputs at the states are returned. The trunk is plain torch.

    Args:
        state_dim: size of an observation.
        action_dim: size of an action.
        config: a `DTConfig`, or its fields as a dict.
        device: device of the parameters.

    Raises:
        RLError: the config has unknown fields or values.
        ShapeError: at call, inputs disagree with each other or are longer than `n_positions`.

    Example:
        >>> config = DecisionTransformer.DTConfig(n_embd=32, n_layer=1, n_inner=64)
        >>> net = DecisionTransformer(state_dim=4, action_dim=2, config=config)
        >>> net(torch.zeros(3, 10, 4), torch.zeros(3, 10, 2), torch.zeros(3, 10, 1)).shape
        torch.Size([3, 10, 32])
    """

    DTConfig: ClassVar[type[DTConfig]] = DTConfig

    def __init__(
        self,
        state_dim: int,
        action_dim: int,
        config: DTConfig | dict[str, Any] | None = None,
        device: torch.device | str | int | None = None,
    ) -> None:
        super().__init__()
        config = _as_config(config)
        self.state_dim, self.action_dim = state_dim, action_dim
        self.hidden_size, self.n_positions = config.n_embd, config.n_positions
        self.embed_return = nn.Linear(1, config.n_embd, device=device)
        self.embed_state = nn.Linear(state_dim, config.n_embd, device=device)
        self.embed_action = nn.Linear(action_dim, config.n_embd, device=device)
        self.embed_position = nn.Embedding(config.n_positions, config.n_embd, device=device)
        self.embed_norm = nn.LayerNorm(config.n_embd, device=device)
        nn.init.normal_(self.embed_position.weight, std=0.02)
        self.transformer = CausalTransformer(config, device)

    @classmethod
    def default_config(cls) -> DTConfig:
        """Return the sizes that are used when none are given."""
        return cls.DTConfig()

    def forward(self, observation: Tensor, action: Tensor, return_to_go: Tensor) -> Tensor:
        """Return the features `[*B, T, n_embd]`.

        Args:
            observation: `[*B, T, state_dim]`.
            action: `[*B, T, action_dim]`; the last one changes nothing.
            return_to_go: `[*B, T, 1]`.
        """
        self._check(observation, action, return_to_go)
        steps = observation.shape[-2]
        embedded = (
            self.embed_return(return_to_go),
            self.embed_state(observation),
            self.embed_action(action),
        )
        # [*B, T, 3, n_embd] -> [*B, 3 T, n_embd]
        tokens = torch.stack(embedded, -2) + self.embed_position.weight[:steps].unsqueeze(-2)
        hidden = self.transformer(self.embed_norm(tokens).flatten(-3, -2))
        return hidden[..., 1::3, :]

    def _check(self, observation: Tensor, action: Tensor, return_to_go: Tensor) -> None:
        lead, given = observation.shape[:-1], (observation, action, return_to_go)
        wanted = tuple((*lead, size) for size in (self.state_dim, self.action_dim, 1))
        if observation.dim() < 2 or tuple(x.shape for x in given) != wanted:
            raise ShapeError(
                "`DecisionTransformer` was given observation, action and return-to-go of shapes "
                f"{[list(x.shape) for x in given]}, expected [*B, T, {self.state_dim}], "
                f"[*B, T, {self.action_dim}] and [*B, T, 1]: stack the same steps of each "
                "(`CatFrames`), and set `state_dim` and `action_dim` to their sizes."
            )
        if lead[-1] > self.n_positions:
            raise ShapeError(
                f"`DecisionTransformer` was given {lead[-1]} steps, expected at most "
                f"{self.n_positions}: pass a config with `n_positions={lead[-1]}`."
            )


class DTActor(nn.Module):
    """The deterministic policy of a decision transformer (Chen et al. 2021).

    Args:
        state_dim: size of an observation.
        action_dim: size of an action.
        transformer_config: a `DTConfig`, or its fields as a dict; default `default_config()`.
        device: device of the parameters.

    Example:
        >>> actor = DTActor(4, 2, transformer_config={"n_embd": 32, "n_layer": 1, "n_inner": 64})
        >>> actor(torch.zeros(3, 10, 4), torch.zeros(3, 10, 2), torch.zeros(3, 10, 1)).shape
        torch.Size([3, 10, 2])
    """

    def __init__(
        self,
        state_dim: int,
        action_dim: int,
        transformer_config: DTConfig | dict[str, Any] | None = None,
        device: torch.device | str | int | None = None,
    ) -> None:
        super().__init__()
        config = self.default_config() if transformer_config is None else transformer_config
        self.transformer = DecisionTransformer(state_dim, action_dim, config, device)
        self.action_layer = nn.Linear(self.transformer.hidden_size, action_dim, device=device)
        nn.init.normal_(self.action_layer.weight, std=0.02)
        nn.init.zeros_(self.action_layer.bias)

    @classmethod
    def default_config(cls) -> DTConfig:
        """Return the sizes that are used when none are given."""
        return DTConfig(n_embd=512, n_layer=4, n_head=4, n_inner=2048)

    def forward(self, observation: Tensor, action: Tensor, return_to_go: Tensor) -> Tensor:
        """Return the action of each step, `[*B, T, A]`; arguments as in `DecisionTransformer`."""
        return self.action_layer(self.transformer(observation, action, return_to_go))


class OnlineDTActor(nn.Module):
    """The stochastic policy of an online decision transformer (Zheng et al. 2022).

    Args:
        state_dim: size of an observation.
        action_dim: size of an action.
        transformer_config: a `DTConfig`, or its fields as a dict; default `default_config()`.
        device: device of the parameters.

    Example:
        >>> actor = OnlineDTActor(4, 2, transformer_config={"n_embd": 32, "n_layer": 1})
        >>> loc, scale = actor(torch.zeros(3, 10, 4), torch.zeros(3, 10, 2), torch.zeros(3, 10, 1))
        >>> loc.shape, bool((scale > 0).all())
        (torch.Size([3, 10, 2]), True)
    """

    def __init__(
        self,
        state_dim: int,
        action_dim: int,
        transformer_config: DTConfig | dict[str, Any] | None = None,
        device: torch.device | str | int | None = None,
    ) -> None:
        super().__init__()
        config = self.default_config() if transformer_config is None else transformer_config
        self.transformer = DecisionTransformer(state_dim, action_dim, config, device)
        self.action_layer_mean = nn.Linear(self.transformer.hidden_size, action_dim, device=device)
        self.action_layer_logstd = nn.Linear(
            self.transformer.hidden_size, action_dim, device=device
        )
        for layer in (self.action_layer_mean, self.action_layer_logstd):
            nn.init.orthogonal_(layer.weight)
            nn.init.zeros_(layer.bias)

    @classmethod
    def default_config(cls) -> DTConfig:
        """Return the sizes that are used when none are given."""
        return DTConfig(n_embd=512, n_layer=4, n_head=4, n_inner=2048)

    def forward(
        self, observation: Tensor, action: Tensor, return_to_go: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return location and scale of each step's action, both `[*B, T, A]`.

        Arguments as in `DecisionTransformer`; log-scales are mapped smoothly into [-5, 2].
        """
        hidden = self.transformer(observation, action, return_to_go)
        squashed = (self.action_layer_logstd(hidden).tanh() + 1) / 2
        log_std = _LOG_STD_MIN + squashed * (_LOG_STD_MAX - _LOG_STD_MIN)
        return self.action_layer_mean(hidden), log_std.exp()


def _as_config(config: DTConfig | dict[str, Any] | None) -> DTConfig:
    if config is None:
        return DTConfig()
    if not isinstance(config, dict):
        return config
    try:
        return DTConfig(**config)
    except TypeError as error:
        raise RLError(
            f"The config has the fields {sorted(config)}, expected some of "
            f"{sorted(DTConfig.__dataclass_fields__)}: {error}."
        ) from error
