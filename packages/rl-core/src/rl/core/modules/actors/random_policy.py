"""Actions drawn from a spec."""

from __future__ import annotations

from tensordict import TensorDictBase
from tensordict.nn import TensorDictModuleBase

from rl.core.contract.keys import NestedKey
from rl.core.specs.base import TensorSpec
from rl.core.specs.composite import Composite

__all__ = ["RandomPolicy"]


class RandomPolicy(TensorDictModuleBase):
    """Draw each action uniformly from its spec.

    Args:
        action_spec: a leaf for `action_key`, or a `Composite` of actions. A spec without the
            TensorDict's batch is drawn with it.
        action_key: where the action of a leaf spec goes.

    Writes:
        action: a draw from the spec.

    Example:
        >>> from tensordict import TensorDict
        >>> from rl.core.specs import OneHot
        >>> RandomPolicy(OneHot(4))(TensorDict(batch_size=[3]))["action"].shape
        torch.Size([3, 4])
    """

    def __init__(self, action_spec: TensorSpec, action_key: NestedKey = "action") -> None:
        super().__init__()
        self.action_spec = action_spec
        self.action_key = action_key
        self.in_keys: list[NestedKey] = []
        if isinstance(action_spec, Composite):
            self.out_keys = list(action_spec.keys(True, True))
        else:
            self.out_keys = [action_key]

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write a random action."""
        batch, spec = tensordict.batch_size, self.action_spec
        lead = () if spec.shape[: len(batch)] == batch else batch
        draw = spec.rand(lead) if lead else spec.rand()
        if isinstance(spec, Composite):
            return tensordict.update(draw)
        return tensordict.set(self.action_key, draw)
