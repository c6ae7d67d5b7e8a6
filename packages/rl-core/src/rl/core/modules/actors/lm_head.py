"""A language model as policy and critic over its next token."""

from __future__ import annotations

from typing import Any

from tensordict.nn import InteractionType, TensorDictModule, TensorDictSequential
from torch import Tensor, nn

from rl.core.distributions import OneHotCategorical
from rl.core.errors import RLError
from rl.core.modules.actors.actor import ProbabilisticActor
from rl.core.modules.actors.actor_critic import ActorValueOperator
from rl.core.modules.actors.value import ValueOperator

__all__ = ["LMHeadActorValueOperator"]


class LMHeadActorValueOperator(ActorValueOperator):
    """Trunk and head of a language model as a policy over tokens, with a new linear critic.

    The next token is that after the last position: pad prompts on the left. Nothing is imported for
    it, any module with the two parts will do.

    Args:
        base_model: a module with a `transformer`, called with `input_ids` and `attention_mask`,
            that returns hidden states `[*B, T, H]` (alone, first in a tuple, or as
            `last_hidden_state`), and a linear `lm_head` over them.

    Reads:
        input_ids: `[*B, T]` int64.
        attention_mask: `[*B, T]`.
    Writes:
        x: `[*B, H]` hidden state of the last token.
        logits: `[*B, vocabulary]`.
        action: `[*B, vocabulary]`, one-hot.
        action_log_prob: `[*B]`.
        state_value: `[*B, 1]`.

    Raises:
        RLError: `base_model` has no `transformer` or no linear `lm_head`.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> class Trunk(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.embed = nn.Embedding(10, 4)
        ...     def forward(self, input_ids, attention_mask):
        ...         return self.embed(input_ids)
        >>> class Model(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.transformer, self.lm_head = Trunk(), nn.Linear(4, 10)
        >>> ids = torch.zeros(3, 5, dtype=torch.int64)
        >>> td = TensorDict(input_ids=ids, attention_mask=torch.ones_like(ids), batch_size=[3])
        >>> td = LMHeadActorValueOperator(Model())(td)
        >>> td["action"].shape, td["state_value"].shape
        (torch.Size([3, 10]), torch.Size([3, 1]))
    """

    def __init__(self, base_model: nn.Module) -> None:
        trunk = getattr(base_model, "transformer", None)
        head = getattr(base_model, "lm_head", None)
        if not isinstance(trunk, nn.Module) or not isinstance(head, nn.Linear):
            raise RLError(
                f"`{type(base_model).__name__}` has no `transformer` or no linear `lm_head`: give "
                "a causal language model with these two attributes."
            )
        common = TensorDictModule(
            _LastToken(trunk),
            in_keys={"input_ids": "input_ids", "attention_mask": "attention_mask"},
            out_keys=["x"],
        )
        policy = ProbabilisticActor(
            TensorDictModule(head, ["x"], ["logits"]),
            in_keys=["logits"],
            distribution_class=OneHotCategorical,
            return_log_prob=True,
            default_interaction_type=InteractionType.RANDOM,
        )
        critic = nn.Linear(
            head.in_features, 1, bias=False, device=head.weight.device, dtype=head.weight.dtype
        )
        super().__init__(TensorDictSequential(common), policy, ValueOperator(critic, in_keys=["x"]))


class _LastToken(nn.Module):
    """The hidden state at the last position."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, **inputs: Tensor) -> Tensor:
        out: Any = self.trunk(**inputs)
        if hasattr(out, "last_hidden_state"):
            out = out.last_hidden_state
        elif isinstance(out, tuple):
            out = out[0]
        return out[..., -1, :]
