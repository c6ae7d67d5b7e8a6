"""A world model: what happens next, and what it is worth."""

from __future__ import annotations

from tensordict.nn import TensorDictModuleBase

from rl.core.modules.actors.safe_module import SafeSequential

__all__ = ["WorldModelWrapper"]


class WorldModelWrapper(SafeSequential):
    """A transition model followed by a reward model.

    Args:
        transition_model: reads state and action, writes the next state.
        reward_model: reads the next state, writes the reward.

    Reads:
        in_keys: what the two read and the first does not write.
    Writes:
        out_keys: the outputs of both.

    Example:
        >>> import torch
        >>> from tensordict.nn import TensorDictModule
        >>> world = WorldModelWrapper(
        ...     TensorDictModule(torch.nn.Bilinear(4, 2, 4), ["state", "action"], ["next_state"]),
        ...     TensorDictModule(torch.nn.Linear(4, 1), ["next_state"], ["reward"]),
        ... )
        >>> world.in_keys, world.out_keys
        (['state', 'action'], ['next_state', 'reward'])
    """

    def __init__(
        self, transition_model: TensorDictModuleBase, reward_model: TensorDictModuleBase
    ) -> None:
        super().__init__(transition_model, reward_model)

    def get_transition_model_operator(self) -> TensorDictModuleBase:
        """Return the transition model."""
        return self.module[0]

    def get_reward_operator(self) -> TensorDictModuleBase:
        """Return the reward model."""
        return self.module[1]
