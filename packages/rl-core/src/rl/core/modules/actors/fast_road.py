"""The short road of a policy: network, distribution and writes, resolved once and then followed.

tensordict's modules are general: at every call they look up hooks, kwargs, argument maps, nested
outputs and out-key selections. A policy that uses none of that is planned here once, and a call
then reads its inputs, calls the network, draws and writes. Results equal those of the general
road; whatever the plan does not cover stays on the general road.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tensordict import TensorDictBase
from tensordict.nn import (
    InteractionType,
    ProbabilisticTensorDictModule,
    TensorDictModule,
    TensorDictModuleBase,
    interaction_type,
    skip_existing,
)
from torch import Tensor, nn
from torch.distributions import Distribution

from rl.core.contract.keys import NestedKey
from rl.core.distributions.fused import FusedDistribution
from rl.core.modules.actors.output_spec import missing_key

__all__ = ["HeadPlan", "NetPlan", "PolicyPlan", "draw", "plan_head", "plan_net", "plan_policy"]

_MISSING = object()
_READERS = {
    InteractionType.DETERMINISTIC: "deterministic_sample",
    InteractionType.MODE: "mode",
    InteractionType.MEAN: "mean",
}


@dataclass(frozen=True, slots=True)
class NetPlan:
    """How to call a `TensorDictModule` without it: the keys it reads and writes."""

    in_keys: tuple[NestedKey, ...]
    out_keys: tuple[NestedKey, ...]

    def call(self, net: TensorDictModule, td: TensorDictBase) -> tuple | None:
        """Return the network's outputs, one per out-key; None when they are of another kind.

        Raises:
            MissingKeyError: when `td` lacks an input.
        """
        try:
            inputs = [td[key] for key in self.in_keys]
        except KeyError as error:
            raise missing_key(net, self.in_keys, td) from error
        outputs = net.module(*inputs)
        if isinstance(outputs, Tensor):
            outputs = (outputs,)
        elif not isinstance(outputs, tuple | list):
            return None
        return outputs if len(outputs) == len(self.out_keys) else None


def plan_net(net: TensorDictModuleBase) -> NetPlan | None:
    """Return the plan of a module that maps tensors to tensors by position, or None."""
    kind = type(net)
    if kind is not TensorDictModule and kind.forward is not getattr(kind, "planned_forward", None):
        return None
    if getattr(net, "safe", False) or net.method is not None or net.method_kwargs:
        return None
    # Named arguments have no public accessor. The lookup fails closed: if tensordict renames
    # these attributes, modules take the general road and a test of this file says so.
    state = vars(net)
    if state.get("_kwargs", _MISSING) is not None or state.get("_get_kwargs", _MISSING) != {}:
        return None
    out_keys = tuple(net.out_keys)
    plain = net.inplace is True and out_keys == tuple(net.out_keys_source) and "_" not in out_keys
    return NetPlan(tuple(net.in_keys), out_keys) if plain else None


def is_hooked(module: nn.Module) -> bool:
    """Tell whether forward hooks are registered on `module` itself."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def draw(
    dist: FusedDistribution, mode: InteractionType, scored: bool
) -> tuple[Tensor, Tensor | None]:
    """Return the value that `mode` asks for and, when `scored`, its log-probability."""
    if mode is InteractionType.RANDOM:
        if scored:
            fused = dist.rsample_and_log_prob if dist.has_rsample else dist.sample_and_log_prob
            return fused()
        return (dist.rsample() if dist.has_rsample else dist.sample()), None
    value = getattr(dist, _READERS[mode])
    return value, dist.log_prob(value) if scored else None


@dataclass(frozen=True, slots=True)
class HeadPlan:
    """How to draw without the probabilistic module: parameters, value and score by key."""

    parameters: tuple[tuple[str, NestedKey], ...]
    distribution: type[Distribution] | Callable[..., Distribution]
    kwargs: dict[str, Any]
    default: InteractionType
    value_key: NestedKey
    score_key: NestedKey | None

    def mode(self) -> InteractionType | None:
        """Return the mode in force, or None when the short road does not know it."""
        mode = interaction_type()
        if mode is None:
            mode = self.default
        return mode if mode is InteractionType.RANDOM or mode in _READERS else None


def plan_head(head: ProbabilisticTensorDictModule) -> HeadPlan | None:
    """Return the plan of a head over one of our distributions, or None."""
    kind = type(head)
    if kind.forward is not getattr(kind, "planned_forward", None):
        return None
    family = head.distribution_class
    ours = isinstance(family, type) and issubclass(family, FusedDistribution)
    kwargs = head.distribution_kwargs
    if not ours or not isinstance(kwargs, dict) or head.safe or head.has_generator:
        return None
    scores = list(head.log_prob_keys) if head.return_log_prob else []
    values = [key for key in head.out_keys if key not in scores]
    if len(values) != 1 or len(scores) > 1 or head.num_samples not in (None, ()):
        return None
    return HeadPlan(
        head.parameters_from,
        family,
        kwargs,
        head.default_interaction_type,
        values[0],
        scores[0] if scores else None,
    )


@dataclass(frozen=True, slots=True)
class PolicyPlan:
    """The plan of a network followed by a head."""

    net: NetPlan
    head: HeadPlan
    # (argument, position among the network's outputs, or key of the TensorDict)
    sources: tuple[tuple[str, int | NestedKey], ...]
    # which outputs, value and score are written: out-keys may be selected
    net_writes: tuple[tuple[int, NestedKey], ...]
    writes_value: bool
    writes_score: bool

    def run(self, net: TensorDictModule, head: Any, td: TensorDictBase) -> TensorDictBase | None:  # noqa: ANN401
        """Write the network's outputs, the draw and its score; None when it cannot."""
        mode = self.head.mode()
        if mode is None or is_hooked(net) or is_hooked(head) or skip_existing():
            return None
        outputs = self.net.call(net, td)
        if outputs is None:
            return None
        try:
            parameters = {
                name: outputs[source] if type(source) is int else td[source]
                for name, source in self.sources
            }
        except KeyError as error:
            raise missing_key(head, head.in_keys, td) from error
        plan = self.head
        dist = plan.distribution(**parameters, **plan.kwargs)
        value, score = draw(dist, mode, plan.score_key is not None)
        head.check_value(value, dist)
        for position, key in self.net_writes:
            td.set(key, outputs[position])
        if self.writes_value:
            td.set(plan.value_key, value)
        if self.writes_score:
            td.set(plan.score_key, score)
        return td


def plan_policy(modules: list[nn.Module], out_keys: list[NestedKey]) -> PolicyPlan | None:
    """Return the plan of `modules` when they are one network and one head, or None.

    Args:
        modules: the members of the sequence.
        out_keys: the keys that the sequence writes, after selection.
    """
    if len(modules) != 2 or not isinstance(modules[1], ProbabilisticTensorDictModule):
        return None
    net, head = plan_net(modules[0]), plan_head(modules[1])
    if net is None or head is None or is_hooked(modules[0]) or is_hooked(modules[1]):
        return None
    position = {key: index for index, key in enumerate(net.out_keys)}
    sources = tuple((name, position.get(key, key)) for name, key in head.parameters)
    writes = tuple((index, key) for index, key in enumerate(net.out_keys) if key in out_keys)
    return PolicyPlan(
        net,
        head,
        sources,
        writes,
        head.value_key in out_keys,
        head.score_key is not None and head.score_key in out_keys,
    )
