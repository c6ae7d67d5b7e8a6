"""The short road of a policy: network, distribution and writes, resolved once and then followed.

tensordict's modules are general: at every call they look up hooks, kwargs, argument maps, nested
outputs and out-key selections. A policy that uses none of that is planned here once, and a call
then reads its inputs, calls the network, draws and writes. Results equal those of the general
road; whatever the plan does not cover stays on the general road.
"""

from __future__ import annotations

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

from rl.core.contract.keys import NestedKey
from rl.core.distributions.fused import FusedDistribution
from rl.core.modules.actors.output_spec import missing_key
from rl.core.modules.networks.layer_calls import call, has_global_hooks, is_hooked

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

    def call(
        self, net: TensorDictModule, td: TensorDictBase, known: dict[NestedKey, Any]
    ) -> tuple | None:
        """Return the network's outputs, one per out-key; None when they are of another kind.

        Args:
            net: the module.
            td: where its inputs are.
            known: inputs that earlier modules computed and that are not in `td` yet.

        Raises:
            MissingKeyError: when `td` lacks an input.
        """
        try:
            inputs = [known[key] if key in known else td[key] for key in self.in_keys]
        except KeyError as error:
            raise missing_key(net, self.in_keys, td) from error
        # an attribute that is a module takes the longest way of all
        module = net._modules.get("module")
        outputs = call(net.module if module is None else module, *inputs)
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
    """What a probabilistic module reads and writes; its settings are read from it at every call."""

    parameters: tuple[tuple[str, NestedKey], ...]
    value_key: NestedKey
    score_key: NestedKey | None


def plan_head(head: ProbabilisticTensorDictModule) -> HeadPlan | None:
    """Return the plan of a head over one of our distributions, or None."""
    kind = type(head)
    if kind.forward is not getattr(kind, "planned_forward", None):
        return None
    family = head.distribution_class
    ours = isinstance(family, type) and issubclass(family, FusedDistribution)
    if not ours or not isinstance(head.distribution_kwargs, dict):
        return None
    if head.safe or head.has_generator or head.num_samples not in (None, ()):
        return None
    scores = list(head.log_prob_keys) if head.return_log_prob else []
    values = [key for key in head.out_keys if key not in scores]
    if len(values) != 1 or len(scores) > 1:
        return None
    return HeadPlan(head.parameters_from, values[0], scores[0] if scores else None)


@dataclass(frozen=True, slots=True)
class PolicyPlan:
    """The plan of networks followed by a head."""

    modules: tuple[nn.Module, ...]
    nets: tuple[NetPlan, ...]
    head: HeadPlan
    # the keys that are written; None for all
    selected: tuple[NestedKey, ...] | None

    def mode(self) -> InteractionType | None:
        """Return how a call draws now; None when something asks for the general road."""
        head = self.modules[-1]
        mode = interaction_type() or head.default_interaction_type
        if mode is not InteractionType.RANDOM and mode not in _READERS:
            return None
        if head.return_log_prob is not (self.head.score_key is not None) or skip_existing():
            return None
        return mode if self.is_bare() else None

    def is_bare(self) -> bool:
        """Tell whether no hook is on the modules."""
        return not (has_global_hooks() or any(map(is_hooked, self.modules)))

    def run(self, td: TensorDictBase, mode: InteractionType) -> TensorDictBase | None:
        """Write the networks' outputs, the draw and its score.

        Args:
            td: where the inputs are.
            mode: how to draw.

        Returns:
            `td`, or None, with nothing written, when a network returns no tensors.
        """
        plan = self.head
        known: dict[NestedKey, Any] = {}
        dist = self.distribution(td, known)
        if dist is None:
            return None
        value, score = draw(dist, mode, plan.score_key is not None)
        self.modules[-1].check_value(value, dist)
        known[plan.value_key] = value
        if score is not None:
            known[plan.score_key] = score
        if self.selected is not None:
            known = {key: known[key] for key in self.selected}
        # one update costs less than a set per key
        return td.update(known)

    def distribution(
        self, td: TensorDictBase, known: dict[NestedKey, Any]
    ) -> FusedDistribution | None:
        """Return the head's distribution; None when a network returns no tensors.

        Args:
            td: where the inputs are.
            known: takes the networks' outputs.
        """
        modules = self.modules
        for net, net_plan in zip(modules, self.nets):  # noqa: B905 - the head has no NetPlan
            outputs = net_plan.call(net, td, known)
            if outputs is None:
                return None
            known.update(zip(net_plan.out_keys, outputs, strict=True))
        head = modules[-1]
        try:
            parameters = {
                name: known[key] if key in known else td[key] for name, key in self.head.parameters
            }
        except KeyError as error:
            raise missing_key(head, head.in_keys, td) from error
        return head.distribution_class(**parameters, **head.distribution_kwargs)


def plan_policy(modules: list[nn.Module], out_keys: list[NestedKey]) -> PolicyPlan | None:
    """Return the plan of `modules` when they are networks and a head, or None.

    Args:
        modules: the members of the sequence.
        out_keys: the keys that the sequence writes, after selection.
    """
    *networks, last = modules
    if not networks or not isinstance(last, ProbabilisticTensorDictModule):
        return None
    nets = [plan_net(net) for net in networks]
    head = plan_head(last)
    if head is None or None in nets:
        return None
    written = {key for net in nets for key in net.out_keys} | {head.value_key, head.score_key}
    selected = None if written - {None} <= set(out_keys) else tuple(out_keys)
    return PolicyPlan(tuple(modules), tuple(nets), head, selected)
