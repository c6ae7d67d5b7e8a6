"""Greedy policies over action values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from tensordict import TensorDictBase
from tensordict.nn import TensorDictModuleBase, dispatch
from torch import Tensor, nn

from rl.core.contract.keys import NestedKey, as_key_list
from rl.core.errors import MissingKeyError, RLError, ShapeError
from rl.core.modules.actors.action_space import action_space_of, greedy
from rl.core.modules.actors.compat import ensure_tensordict_compatible
from rl.core.modules.actors.output_spec import OutputSpec, as_output_spec, check_fits, missing_key
from rl.core.modules.actors.safe_module import SafeModule, SafeSequential
from rl.core.specs.base import TensorSpec
from rl.core.specs.composite import Composite

__all__ = ["QValueActor", "QValueHook", "QValueModule"]


class QValueModule(OutputSpec, TensorDictModuleBase):
    """Choose the action with the greatest value.

    Args:
        action_space: `"one_hot"`, `"mult_one_hot"`, `"binary"`, `"categorical"` or
            `"multi_categorical"`; default: taken from `spec`.
        action_value_key: where the values are.
        action_mask_key: where a mask of legal actions is; illegal values become the dtype's
            minimum, in the TensorDict too.
        out_keys: action, values and value of the action; default `["action", "action_value",
            "chosen_action_value"]`.
        var_nums: sizes of the variables of a multi-discrete action.
        spec: the action's spec.
        safe: project actions that are outside the spec into it.
        strict_shape: without effect: actions always have the shape of the values' batch.

    Reads:
        action_value: `[*B, N]`.
        action_mask: `[*B, N]` bool, when `action_mask_key` is given.
    Writes:
        action: `[*B, N]` or `[*B]` int64, by `action_space`.
        action_value: `[*B, N]`.
        chosen_action_value: `[*B, 1]`.

    Raises:
        RLError: the action space is unknown, or not given at all.
        SpecError: at the first call with a shape, the action does not fit `spec`.
        MissingKeyError: at call, values or mask are not in the TensorDict.

    Example:
        >>> from tensordict import TensorDict
        >>> td = TensorDict(action_value=torch.tensor([[0.0, 1.0]]), batch_size=[1])
        >>> QValueModule(action_space="one_hot")(td)["action"]
        tensor([[0, 1]])
    """

    def __init__(
        self,
        action_space: str | None = None,
        action_value_key: NestedKey | None = None,
        action_mask_key: NestedKey | None = None,
        out_keys: Sequence[NestedKey] | None = None,
        var_nums: Sequence[int] | None = None,
        spec: TensorSpec | None = None,
        safe: bool = False,
        strict_shape: bool | str = True,
    ) -> None:
        super().__init__()
        del strict_shape
        self.action_value_key = "action_value" if action_value_key is None else action_value_key
        self.action_mask_key = action_mask_key
        self.in_keys = [self.action_value_key]
        if action_mask_key is not None:
            self.in_keys.append(action_mask_key)
        default = ["action", self.action_value_key, "chosen_action_value"]
        self.out_keys = default if out_keys is None else as_key_list(out_keys)
        self.action_key = self.out_keys[0]
        self.action_space = action_space_of(action_space, _action_leaf(spec, self.action_key))
        self.var_nums = variable_sizes(
            self.action_space, var_nums, _action_leaf(spec, self.action_key)
        )
        self._init_spec(as_output_spec(spec, self.out_keys, self.action_key), safe)

    def _choose(self, values: Tensor) -> tuple[Tensor, ...]:
        """Return what is written at `out_keys`, in order."""
        action, chosen = greedy(values, self.action_space, self.var_nums)
        return action, values, chosen

    def forward(
        self,
        tensordict: TensorDictBase | None = None,
        *args: Tensor,
        **kwargs: Tensor,
    ) -> TensorDictBase:
        """Write the greedy action, the values and the value of the action."""
        if args or kwargs or not isinstance(tensordict, TensorDictBase):
            tensors = args if tensordict is None else (tensordict, *args)
            return self._call_with_tensors(*tensors, **kwargs)
        try:
            values = tensordict[self.action_value_key]
            if self.action_mask_key is not None:
                legal = tensordict[self.action_mask_key]
                values = self._mask(values, legal)
        except KeyError as error:
            raise missing_key(self, self.in_keys, tensordict) from error
        outputs = self._choose(values)
        tensordict.update(dict(zip(self.out_keys, outputs, strict=True)))
        self._check_action(outputs[0], values)
        return self.project_(tensordict) if self.safe else tensordict

    @dispatch(auto_batch_size=False)
    def _call_with_tensors(self, tensordict: TensorDictBase) -> TensorDictBase:
        return self.forward(tensordict)

    def _mask(self, values: Tensor, legal: Tensor) -> Tensor:
        return values.masked_fill(~legal, torch.finfo(values.dtype).min)

    def _check_action(self, action: Tensor, values: Tensor) -> None:
        if torch.compiler.is_compiling() or action.shape in self._fitting:
            return
        spec = self._spec.get(self.action_key, None)
        if spec is not None:
            scalar = self.action_space == "categorical"
            event = torch.Size([]) if scalar else action.shape[-1:]
            classes = values.shape[-1] if scalar else None
            check_fits(self.action_key, spec, action.shape, event, classes)
        self._fitting.add(action.shape)


class QValueActor(SafeSequential):
    """A network of action values and the greedy choice among them.

    Args:
        module: a TensorDict module that writes `action_value_key`, or a callable of tensors.
        in_keys: entries that a callable reads; default `["observation"]`.
        spec: the action's spec, a leaf or a `Composite`.
        safe: project actions that are outside the spec into it.
        action_space: kind of actions; default: taken from `spec`.
        action_value_key: where the values go; default `"action_value"`.
        action_key: where the action goes.
        chosen_action_value_key: where its value goes.
        action_mask_key: where a mask of legal actions is.
        strict_shape: without effect.
        var_nums: sizes of the variables of a multi-discrete action.

    Reads:
        observation: `[*B, *O]`.
    Writes:
        action_value, action, chosen_action_value: as `QValueModule`.

    Example:
        >>> from tensordict import TensorDict
        >>> from rl.core.specs import OneHot
        >>> actor = QValueActor(torch.nn.Linear(3, 4), spec=OneHot(4))
        >>> actor(TensorDict(observation=torch.zeros(5, 3), batch_size=[5]))["action"].shape
        torch.Size([5, 4])
    """

    def __init__(  # noqa: PLR0913 - the arguments that TorchRL users pass
        self,
        module: Callable | TensorDictModuleBase,
        *,
        in_keys: Sequence[NestedKey] | None = None,
        spec: TensorSpec | None = None,
        safe: bool = False,
        action_space: str | None = None,
        action_value_key: NestedKey | None = None,
        action_key: NestedKey = "action",
        chosen_action_value_key: NestedKey = "chosen_action_value",
        action_mask_key: NestedKey | None = None,
        strict_shape: bool | str = True,
        var_nums: Sequence[int] | None = None,
    ) -> None:
        value_key = "action_value" if action_value_key is None else action_value_key
        network = value_network(module, in_keys, value_key)
        choice = QValueModule(
            action_space=action_space,
            action_value_key=value_key,
            action_mask_key=action_mask_key,
            out_keys=[action_key, value_key, chosen_action_value_key],
            var_nums=var_nums,
            spec=spec,
            safe=safe,
            strict_shape=strict_shape,
        )
        super().__init__(network, choice)


class QValueHook:
    """A forward hook that turns a network of values into a greedy policy.

    Args:
        action_space: kind of actions.
        var_nums: sizes of the variables of a multi-discrete action.
        action_value_key: without effect, the keys are the actor's.
        action_mask_key: without effect: a hook sees no mask.
        out_keys: without effect, the keys are the actor's.

    Example:
        >>> net = torch.nn.Linear(3, 4)
        >>> handle = net.register_forward_hook(QValueHook("one_hot"))
        >>> action, values, chosen = net(torch.zeros(5, 3))
        >>> action.shape, chosen.shape
        (torch.Size([5, 4]), torch.Size([5, 1]))
    """

    def __init__(
        self,
        action_space: str,
        var_nums: Sequence[int] | None = None,
        action_value_key: NestedKey | None = None,
        action_mask_key: NestedKey | None = None,
        out_keys: Sequence[NestedKey] | None = None,
    ) -> None:
        del action_value_key, out_keys
        if action_mask_key is not None:
            raise RLError("`QValueHook` sees no TensorDict, hence no mask: use `QValueModule`.")
        self.action_space = action_space_of(action_space, None)
        self.var_nums = variable_sizes(self.action_space, var_nums, None)

    def __call__(self, net: nn.Module, inputs: Any, values: Tensor) -> tuple[Tensor, ...]:  # noqa: ANN401
        """Return action, values and value of the action."""
        action, chosen = greedy(values, self.action_space, self.var_nums)
        return action, values, chosen


def value_network(
    module: Callable | TensorDictModuleBase,
    in_keys: Sequence[NestedKey] | None,
    value_key: NestedKey,
) -> TensorDictModuleBase:
    """Return `module` as a TensorDict module that writes `value_key`.

    Raises:
        MissingKeyError: a TensorDict module does not write the key.
    """
    if isinstance(module, TensorDictModuleBase):
        if value_key not in module.out_keys:
            raise MissingKeyError(
                f"`{value_key}` is not among the network's out_keys {list(module.out_keys)}: "
                "rename its output, or pass `action_value_key=`."
            )
        return module
    keys = ["observation"] if in_keys is None else in_keys
    return ensure_tensordict_compatible(module, keys, [value_key], SafeModule)


def _action_leaf(spec: TensorSpec | None, key: NestedKey) -> TensorSpec | None:
    if isinstance(spec, Composite):
        leaf = spec.get(key, None)
        return spec if leaf is None else leaf
    return spec


def variable_sizes(
    space: str, var_nums: Sequence[int] | None, spec: TensorSpec | None
) -> list[int] | None:
    """Return the sizes of the variables of a multi-discrete action, or None for a single one."""
    if space not in ("mult_one_hot", "multi_categorical"):
        return None
    if var_nums is None and spec is not None:
        var_nums = [box.n for box in spec.space.boxes]
    if var_nums is None:
        raise ShapeError(
            f"The action space {space!r} has several variables of unknown sizes: pass "
            "`var_nums=[n_1, n_2, ...]`, or the action's `spec`."
        )
    return list(var_nums)
