"""A decision transformer in its loop with an env."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tensordict import TensorDictBase
from tensordict.nn import TensorDictModuleBase
from torch import Tensor

from rl.core.contract.keys import NestedKey, unravel_key
from rl.core.errors import RLError, ShapeError, nearest
from rl.core.modules.actors.output_spec import OutputSpec, as_output_spec, missing_key
from rl.core.specs.base import DEVICE_TYPING, TensorSpec

__all__ = ["DecisionTransformerInferenceWrapper"]


class DecisionTransformerInferenceWrapper(OutputSpec, TensorDictModuleBase):
    """Act with a decision transformer on the last steps of an env.

    The env stacks past observations, actions and returns-to-go (`CatFrames`); the action stacked
    last is that of the step before. The wrapper moves the actions one place forward, leaving zeros
    for the one to choose, sets what is older than `inference_context` to zero, runs the policy and
    keeps its last action. The input TensorDict stays as it is.

    Args:
        policy: a TensorDict module that reads the three sequences and writes an action for each
            step, such as a `ProbabilisticActor` over an `OnlineDTActor`.
        inference_context: number of steps that the policy sees.
        spec: the action's spec, or a `Composite` over the outputs.
        device: where the policy runs; None leaves data where they are.

    Reads:
        observation: `[*B, T, O]`.
        action: `[*B, T, A]`.
        return_to_go: `[*B, T, 1]`.
    Writes:
        action: `[*B, A]`.
        return_to_go: `[*B, 1]`, the last.
        out_keys: the other outputs of the policy, as they are.

    Raises:
        RLError: `inference_context` is not positive, or `set_tensor_keys` gets an unknown name.
        MissingKeyError: at call, one of the sequences is missing.
        ShapeError: at call, the sequences have different lengths.

    Example:
        >>> from tensordict import TensorDict
        >>> from tensordict.nn import TensorDictModule
        >>> policy = TensorDictModule(
        ...     lambda obs, action, rtg: obs.cumsum(-2),
        ...     ["observation", "action", "return_to_go"],
        ...     ["action"],
        ... )
        >>> act = DecisionTransformerInferenceWrapper(policy, inference_context=2)
        >>> td = TensorDict(
        ...     observation=torch.ones(5, 4, 2),
        ...     action=torch.zeros(5, 4, 2),
        ...     return_to_go=torch.ones(5, 4, 1),
        ...     batch_size=[5],
        ... )
        >>> act(td)["action"][0]
        tensor([2., 2.])
    """

    _fields = ("observation", "action", "return_to_go")

    def __init__(
        self,
        policy: TensorDictModuleBase,
        *,
        inference_context: int = 5,
        spec: TensorSpec | None = None,
        device: DEVICE_TYPING | None = None,
    ) -> None:
        super().__init__()
        if inference_context < 1:
            raise RLError(
                f"`inference_context` is {inference_context}, expected at least 1: the policy "
                "needs the present step."
            )
        self.policy = policy if device is None else policy.to(device)
        self.inference_context, self.device = inference_context, device
        self.observation_key: NestedKey = "observation"
        self.action_key: NestedKey = "action"
        self.return_to_go_key: NestedKey = "return_to_go"
        self._set_in_out_keys()
        self._init_spec(as_output_spec(spec, self.out_keys, self.action_key), safe=False)

    def _set_in_out_keys(self) -> None:
        self.in_keys = [self.observation_key, self.action_key, self.return_to_go_key]
        self.out_keys = list(dict.fromkeys([*self.in_keys, *self.policy.out_keys]))

    def set_tensor_keys(self, **kwargs: NestedKey) -> None:
        """Rename entries.

        Args:
            **kwargs: `observation=`, `action=` or `return_to_go=` and the key.

        Raises:
            RLError: the name is none of the three, or the policy does not write the action.
        """
        for name, key in kwargs.items():
            if name not in self._fields:
                raise RLError(f"`{name}` is not an entry. {nearest(name, self._fields)}")
            setattr(self, f"{name}_key", unravel_key(key))
        self._set_in_out_keys()

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Return a TensorDict with the last action."""
        out = self.mask_context(tensordict)
        if self.device is not None:
            out = out.to(self.device)
        out = self.policy(out)
        out.set(self.action_key, out.get(self.action_key)[..., -1, :])
        out.set(self.return_to_go_key, out.get(self.return_to_go_key)[..., -1, :])
        out.set(self.observation_key, tensordict.get(self.observation_key))
        if self.device is not None:
            out = out.to(tensordict.device) if tensordict.device is not None else out
        self.check_outputs(out)
        return out

    def mask_context(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Return a copy with aligned actions, and zeros before the context."""
        sequences = [tensordict.get(key, None) for key in self.in_keys]
        if any(sequence is None for sequence in sequences):
            raise missing_key(self, self.in_keys, tensordict)
        observation, action, return_to_go = sequences
        _check_lengths(self.in_keys, sequences)
        action = torch.cat([action[..., 1:, :], torch.zeros_like(action[..., :1, :])], -2)
        steps = torch.arange(action.shape[-2], device=action.device)
        seen = (steps >= len(steps) - self.inference_context).unsqueeze(-1)
        out = tensordict.copy()
        for key, value in zip(self.in_keys, (observation, action, return_to_go), strict=True):
            out.set(key, torch.where(seen, value, 0))
        return out


def _check_lengths(keys: Sequence[NestedKey], sequences: Sequence[Tensor]) -> None:
    shapes = [list(sequence.shape) for sequence in sequences]
    if any(len(shape) < 2 for shape in shapes) or len({shape[-2] for shape in shapes}) != 1:
        raise ShapeError(
            f"{list(keys)} have shapes {shapes}, expected [*B, T, size] with one T: stack the same "
            "number of steps of each (`UnsqueezeTransform`, then `CatFrames`)."
        )
