"""Head of distributional Q-networks."""

from __future__ import annotations

from collections.abc import Sequence

from tensordict import TensorDictBase
from tensordict.nn import TensorDictModuleBase, dispatch
from torch import Tensor

from rl.core.contract.keys import NestedKey, as_key_list
from rl.core.errors import ShapeError

__all__ = ["DistributionalDQNnet"]


class DistributionalDQNnet(TensorDictModuleBase):
    """Normalise a network's outputs into log-probabilities over the atoms of each action.

    Args:
        in_keys: where the outputs are; default `["action_value"]`.
        out_keys: where the log-probabilities go; default `["action_value"]`.

    Reads:
        action_value: `[*B, atoms, N]`.
    Writes:
        action_value: `[*B, atoms, N]`, log-softmax over the atoms.

    Raises:
        ShapeError: the values have no dimension of atoms.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> td = TensorDict(action_value=torch.zeros(5, 4, 2), batch_size=[5])
        >>> DistributionalDQNnet()(td)["action_value"].exp()[0, :, 0]
        tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """

    def __init__(
        self,
        *,
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
    ) -> None:
        super().__init__()
        self.in_keys = ["action_value"] if in_keys is None else as_key_list(in_keys)
        self.out_keys = ["action_value"] if out_keys is None else as_key_list(out_keys)

    @dispatch(auto_batch_size=False)
    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write the log-probabilities."""
        for in_key, out_key in zip(self.in_keys, self.out_keys, strict=True):
            tensordict.set(out_key, _log_softmax(tensordict[in_key]))
        return tensordict


def _log_softmax(values: Tensor) -> Tensor:
    if values.dim() < 2:
        raise ShapeError(
            f"The action values have shape {list(values.shape)}, expected [*B, atoms, actions]: "
            "build the network with `out_features=(atoms, actions)`."
        )
    return values.log_softmax(-2)
