"""Deep Q-learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from tensordict import NestedKey, TensorDict, TensorDictBase
from tensordict.nn import TensorDictModule, TensorDictModuleBase, TensorDictSequential, dispatch
from torch import Tensor, nn

from rl.core.contract.keys import in_next
from rl.core.errors import MissingKeyError
from rl.core.modules import QValueModule, greedy
from rl.objectives.losses.action_space import (
    check_action,
    chosen_value,
    loss_action_space,
    variable_sizes,
)
from rl.objectives.losses.base import LossModule
from rl.objectives.losses.reduction import distance_loss
from rl.objectives.stateless import inputs_of
from rl.objectives.value.registry import ValueEstimators

__all__ = ["DQNLoss"]


class DQNLoss(LossModule):
    """Q-learning (Mnih et al., 2015), optionally double (van Hasselt et al., 2016).

    Args:
        value_network: writes `action_value`, `[*B, n]`. A plain module is read as a map from
            `observation` to it.
        loss_function: distance of values and targets: `"l1"`, `"l2"`, `"smooth_l1"`.
        delay_value: keep a delayed copy of the network for the targets.
        double_dqn: choose the next action with the network, value it with the delayed copy.
        gamma: discount, 0.99 by default; see `make_value_estimator`.
        action_space: `"one_hot"`, `"mult_one_hot"`, `"binary"`, `"categorical"` or a spec.
            Default: what the network says.
        priority_key: name of the priority; `set_keys` does the same for all names.
        reduction: `"mean"` (default), `"sum"` or `"none"`.
        use_prioritized_weights: whether `priority_weight` weighs the loss.

    Reads:
        value_network.in_keys: at the root and under `"next"`, `[*B, ...]`.
        action: `[*B, n]`, or `[*B]` and `[*B, 1]` when categorical.
        ("next", "reward"), ("next", "done"), ("next", "terminated"): `[*B, 1]`.
        priority_weight: `[*B]`, optional.
    Writes:
        td_error: `[*B]`, the absolute error, for a prioritised buffer. Returns `loss`.

    Example:
        >>> net = TensorDictModule(nn.Linear(3, 2), ["observation"], ["action_value"])
        >>> loss = DQNLoss(net, action_space="categorical", delay_value=False)
        >>> step = {"observation": torch.randn(4, 3), "reward": torch.ones(4, 1)}
        >>> step["done"] = step["terminated"] = torch.zeros(4, 1, dtype=torch.bool)
        >>> batch = {"observation": torch.randn(4, 3), "action": torch.tensor([0, 1, 1, 0])}
        >>> loss(TensorDict({**batch, "next": step}, [4]))["loss"].shape
        torch.Size([])
    """

    @dataclass(frozen=True)
    class _AcceptedKeys:
        advantage: NestedKey = "advantage"
        value_target: NestedKey = "value_target"
        value: NestedKey = "chosen_action_value"
        action_value: NestedKey = "action_value"
        action: NestedKey = "action"
        priority: NestedKey = "td_error"
        reward: NestedKey = "reward"
        done: NestedKey = "done"
        terminated: NestedKey = "terminated"
        priority_weight: NestedKey = "priority_weight"

    default_value_estimator = ValueEstimators.TD0

    def __init__(  # noqa: PLR0913
        self,
        value_network: nn.Module,
        *,
        loss_function: str = "l2",
        delay_value: bool = True,
        double_dqn: bool = False,
        gamma: float | None = None,
        action_space: Any = None,  # noqa: ANN401
        priority_key: NestedKey | None = None,
        reduction: str | None = None,
        use_prioritized_weights: bool | str = "auto",
    ) -> None:
        super().__init__(reduction=reduction, use_prioritized_weights=use_prioritized_weights)
        if double_dqn and not delay_value:
            raise ValueError(
                "`double_dqn=True` values the next action with a delayed copy of the network: "
                "pass `delay_value=True`."
            )
        if not isinstance(value_network, TensorDictModuleBase):
            value_network = TensorDictModule(value_network, ["observation"], ["action_value"])
        self.convert_to_functional(value_network, "value_network", create_target_params=delay_value)
        self.loss_function = loss_function
        self.double_dqn = double_dqn
        if gamma is not None:
            self._hyperparams["gamma"] = gamma
        key = self._tensor_keys.action
        self.action_space = loss_action_space(action_space, value_network, key)
        self._sizes = variable_sizes(action_space, value_network)
        self._keys_changed()
        if priority_key is not None:
            self.set_keys(priority=priority_key)
        self.make_value_estimator()

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """Return the loss of a batch, into which the priority is written.

        Raises:
            ShapeError: when the action does not fit the action space.
        """
        names = self._tensor_keys
        network = self.__dict__["_action_value_network"]
        values = network(inputs_of(tensordict, network.in_keys)).get(names.action_value)
        action = tensordict.get(names.action)
        check_action(action, values, self.action_space, names.action)
        value = chosen_value(values, action, self.action_space, self._sizes)
        with torch.no_grad():
            target = self.value_estimator.value_estimate(
                tensordict, next_value=self._next_value(tensordict)
            ).squeeze(-1)
            tensordict.set(names.priority, (value - target).abs())
        loss = distance_loss(value, target, self.loss_function)
        mask, weights = self._mask(tensordict), self._priority_weights(tensordict)
        return self._output({"loss": self._reduce(loss, mask, weights)})

    def _next_value(self, tensordict: TensorDictBase) -> Tensor:
        """Return the value `[*B, 1]` of the next action."""
        names = self._tensor_keys
        network = self.__dict__["value_network"]
        following = inputs_of(tensordict.get("next"), network.in_keys)
        if self._next_is_max and not self.double_dqn:
            params = self._flat_params("value_network", target=True, detach=False)
            params = {k[len(self._prefix) :]: v for k, v in params.items()}
            output = self._call_with("_action_value_network", params, following)
            return output.get(names.action_value).amax(-1, keepdim=True)
        if not self.double_dqn:
            output = self._call("value_network", following, target=True)
            chosen = output.get(names.value, None)
            return self._greedy(output)[1] if chosen is None else chosen
        online = network(following.copy())
        action = online.get(names.action, None)
        action = self._greedy(online)[0] if action is None else action
        output = self._call("value_network", following, target=True)
        values = output.get(names.action_value)
        return chosen_value(values, action, self.action_space, self._sizes).unsqueeze(-1)

    def _greedy(self, output: TensorDictBase) -> tuple[Tensor, Tensor]:
        values = output.get(self._tensor_keys.action_value)
        return greedy(values, self.action_space, self._sizes)

    def _keys_changed(self) -> None:
        """Find the part of the network that computes the action values: choosing is not needed."""
        network, key = self.__dict__["value_network"], self._tensor_keys.action_value
        if key not in network.out_keys:
            raise MissingKeyError(
                f"The value network writes {list(network.out_keys)}, not `{key}`: give it "
                f'`out_keys=["{key}"]`, or name the entry with `set_keys(action_value=...)`.'
            )
        part, self._prefix, rest = _up_to(network, key)
        self.__dict__["_action_value_network"] = part
        self._stateless.pop("_action_value_network", None)
        # plain Q-values: the best one is their maximum, without building the action
        self._next_is_max = (
            self.action_space in ("one_hot", "categorical")
            and all(isinstance(module, QValueModule) for module in rest)
            and set(part.in_keys) == set(network.in_keys)
        )

    def _read_keys(self) -> list[NestedKey]:
        inputs = list(self.__dict__["value_network"].in_keys)
        names = self._tensor_keys
        flags = [names.reward, names.terminated, names.done]
        keys = [*inputs, *(in_next(k) for k in (*flags, *inputs)), names.action]
        return [*keys, names.priority_weight]


def _up_to(network: nn.Module, key: NestedKey) -> tuple[nn.Module, str, list[nn.Module]]:
    """Split a sequence after the module that computes `key`.

    Returns:
        The first modules as one, the prefix that the network gives to its parameters, the rest.
    """
    if not isinstance(network, TensorDictSequential):
        return network, "", []
    modules = list(network.module)
    # a module that chooses among the values passes them on as they are
    last = next(i for i, m in enumerate(modules) if key in m.out_keys and key not in m.in_keys)
    if last == 0:
        return modules[0], "module.0.", modules[1:]
    return TensorDictSequential(*modules[: last + 1]), "", modules[last + 1 :]
