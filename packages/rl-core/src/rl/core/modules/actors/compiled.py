"""Compiled policies: tensors go in and out of the graph, the TensorDict stays outside.

`torch.compile` checks at every call whatever Python a graph was traced through. For a TensorDict
and the modules around it that costs more than the arithmetic of a small network, so the graph made
here is that of the network, the draw and its score, from tensors to tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from tensordict import TensorDictBase
from tensordict.nn import InteractionType
from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.modules.actors.fast_road import PolicyPlan, draw
from rl.core.modules.networks.layer_calls import has_hooks

if TYPE_CHECKING:
    from rl.core.modules.actors.probabilistic import SafeProbabilisticTensorDictSequential

__all__ = ["CompiledCall"]


class CompiledCall:
    """What a call of a policy does, compiled.

    A policy that has a `PolicyPlan` is compiled as a function of tensors. Exploration type, members
    and settings are looked up at each call, as they are without compilation; while the policy or a
    member has hooks, or existing entries are skipped, calls are not compiled. A policy that has no
    plan is compiled as `torch.compile` would.

    Args:
        policy: the policy.
        options: arguments of `torch.compile`.

    Example:
        >>> from tensordict import TensorDict
        >>> from tensordict.nn import TensorDictModule
        >>> from rl.core import FusedCategorical, ProbabilisticActor
        >>> actor = ProbabilisticActor(
        ...     TensorDictModule(torch.nn.Linear(3, 2), ["observation"], ["logits"]),
        ...     in_keys=["logits"],
        ...     distribution_class=FusedCategorical,
        ... )
        >>> compiled = CompiledCall(actor, {"backend": "eager"})
        >>> compiled(TensorDict(observation=torch.zeros(5, 3), batch_size=[5]))["action"].shape
        torch.Size([5])
    """

    def __init__(
        self, policy: SafeProbabilisticTensorDictSequential, options: dict[str, Any]
    ) -> None:
        self._policy = policy
        self._options = options
        self._plan: PolicyPlan | None = None
        self._roads: dict[InteractionType, TensorRoad] = {}
        self._general: Callable[..., Any] | None = None

    def __call__(
        self,
        tensordict: Any = None,  # noqa: ANN401 - a TensorDict, or the first of several tensors
        *args: Any,
        **kwargs: Any,
    ) -> Any:  # noqa: ANN401
        """Call the policy."""
        policy = self._policy
        if torch.compiler.is_compiling():
            return policy._call_impl(tensordict, *args, **kwargs)
        plan, mode = policy.plan_now()
        if plan is not None and isinstance(tensordict, TensorDictBase) and not args and not kwargs:
            if mode is None or has_hooks(policy):
                # graphs do not see hooks that come or go
                return policy._call_impl(tensordict)
            out = self._road(plan, mode).run(tensordict)
            if out is not None:
                return out
        if self._general is None:
            self._general = torch.compile(policy._call_impl, **self._options)
        return self._general(tensordict, *args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        # graphs stay behind: a copy of the policy makes its own
        return type(self), (self._policy, self._options)

    def _road(self, plan: PolicyPlan, mode: InteractionType) -> TensorRoad:
        if plan is not self._plan:
            self._plan, self._roads = plan, {}
        road = self._roads.get(mode)
        if road is None:
            road = self._roads[mode] = TensorRoad(plan, mode, self._options)
        return road


class TensorRoad:
    """A plan and a way to draw, as one compiled function of tensors.

    Args:
        plan: of the policy.
        mode: how to draw.
        options: arguments of `torch.compile`.
    """

    def __init__(self, plan: PolicyPlan, mode: InteractionType, options: dict[str, Any]) -> None:
        self._plan, self._mode = plan, mode
        self._in_keys, self._out_keys = _crossing(plan)
        function = _tensor_function(plan, mode, self._in_keys, self._out_keys)
        self._compiled = torch.compile(function, **options)
        self._checked: set[torch.Size] = set()

    def run(self, td: TensorDictBase) -> TensorDictBase | None:
        """Do what `PolicyPlan.run` does, and return what it does."""
        try:
            inputs = [td[key] for key in self._in_keys]
        except KeyError:
            return self._plan.run(td, self._mode)  # it says what is missing
        outputs = self._compiled(*inputs)
        if outputs is None:
            return None
        known = dict(zip(self._out_keys, outputs, strict=True))
        shape = known[self._plan.head.value_key].shape
        if shape not in self._checked:
            self._check(td, known)
            self._checked.add(shape)
        selected = self._plan.selected
        return td.update(known if selected is None else {key: known[key] for key in selected})

    def _check(self, td: TensorDictBase, known: dict[NestedKey, Tensor]) -> None:
        """Check the draw against the spec, which takes its distribution."""
        head = self._plan.modules[-1]
        parameters = {
            name: known[key] if key in known else td[key]
            for name, key in self._plan.head.parameters
        }
        dist = head.distribution_class(**parameters, **head.distribution_kwargs)
        head.check_value(known[self._plan.head.value_key], dist)


def _crossing(plan: PolicyPlan) -> tuple[tuple[NestedKey, ...], tuple[NestedKey, ...]]:
    """Return the keys that are read from the TensorDict, and those that are computed."""
    read: dict[NestedKey, None] = {}
    computed: dict[NestedKey, None] = {}
    for net in plan.nets:
        read.update((key, None) for key in net.in_keys if key not in computed)
        computed.update((key, None) for key in net.out_keys)
    head = plan.head
    read.update((key, None) for _, key in head.parameters if key not in computed)
    computed[head.value_key] = None
    if head.score_key is not None:
        computed[head.score_key] = None
    return tuple(read), tuple(computed)


def _tensor_function(
    plan: PolicyPlan,
    mode: InteractionType,
    in_keys: tuple[NestedKey, ...],
    out_keys: tuple[NestedKey, ...],
) -> Callable[..., tuple[Tensor, ...] | None]:
    """Return the function from the tensors read to those computed; None as `PolicyPlan.run`."""
    *networks, head = plan.modules
    layers = [
        (net.module, net_plan.in_keys, net_plan.out_keys)
        for net, net_plan in zip(networks, plan.nets, strict=True)
    ]
    parameters, value_key = plan.head.parameters, plan.head.value_key
    score_key = plan.head.score_key

    def run(*inputs: Tensor) -> tuple[Tensor, ...] | None:
        known = dict(zip(in_keys, inputs, strict=True))
        for module, read, written in layers:
            outputs = module(*[known[key] for key in read])
            if isinstance(outputs, Tensor):
                outputs = (outputs,)
            if not isinstance(outputs, tuple | list) or len(outputs) != len(written):
                return None
            known.update(zip(written, outputs, strict=True))
        named = {name: known[key] for name, key in parameters}
        dist = head.distribution_class(**named, **head.distribution_kwargs)
        known[value_key], score = draw(dist, mode, score_key is not None)
        if score is not None:
            known[score_key] = score
        return tuple(known[key] for key in out_keys)

    # torch counts recompilations by code object: policies and modes must not share one
    run.__code__ = run.__code__.replace()
    return run
