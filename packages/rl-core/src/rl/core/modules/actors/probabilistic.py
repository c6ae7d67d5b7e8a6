"""Heads that build a distribution, draw from it and score the draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import (
    CompositeDistribution,
    InteractionType,
    ProbabilisticTensorDictModule,
    ProbabilisticTensorDictSequential,
    dispatch,
    skip_existing,
)
from torch import Tensor
from torch.distributions import Distribution

from rl.core.contract.keys import NestedKey, as_key_list
from rl.core.distributions.delta import Delta
from rl.core.modules.actors.compiled import CompiledCall
from rl.core.modules.actors.fast_road import PolicyPlan, plan_policy
from rl.core.modules.actors.output_spec import (
    OutputSpec,
    as_output_spec,
    check_fits,
    missing_key,
)
from rl.core.modules.actors.safe_module import union_spec
from rl.core.modules.networks.layer_calls import is_hooked
from rl.core.specs.base import TensorSpec

__all__ = ["SafeProbabilisticModule", "SafeProbabilisticTensorDictSequential"]


class SafeProbabilisticModule(OutputSpec, ProbabilisticTensorDictModule):
    """Draw a value from a distribution whose parameters are in the TensorDict.

    Args:
        in_keys: the parameters; the last name of a key is the argument of `distribution_class`
            that it feeds. A dict maps argument names to keys.
        out_keys: the sampled key (default: the keys of a `CompositeDistribution`).
        spec: a leaf for the sampled key, or a `Composite`.
        safe: project draws that are outside the spec into it.
        default_interaction_type: what to do outside `set_exploration_type`.
        distribution_class: a torch distribution, or a callable that returns one.
        distribution_kwargs: constants passed to it.
        return_log_prob: write the log-probability of the draw.
        log_prob_keys: where, one key per sampled key.
        log_prob_key: where, when one key is sampled; default `<key>_log_prob` beside the key.
        cache_dist: without effect, the distribution is cheap to build.
        n_empirical_estimate: draws averaged for the mean of a distribution without one.
        num_samples: draw this many values, as leading dimensions.
        generator: a `torch.Generator`, a seed, or the key that holds one.

    Reads:
        in_keys: parameters of the distribution.
    Writes:
        out_keys[0]: the draw.
        log_prob_key: `[*batch_shape]`, when `return_log_prob`.

    Raises:
        SpecError: the draw does not fit the spec (checked once per shape), or `safe` has no spec.

    Example:
        >>> from tensordict import TensorDict
        >>> from rl.core.distributions import FusedCategorical
        >>> head = SafeProbabilisticModule(
        ...     ["logits"], "action", distribution_class=FusedCategorical, return_log_prob=True
        ... )
        >>> td = head(TensorDict(logits=torch.zeros(3, 2), batch_size=[3]))
        >>> td["action"].shape, td["action_log_prob"].shape
        (torch.Size([3]), torch.Size([3]))
    """

    def __init__(  # noqa: PLR0913 - the arguments that TorchRL users pass
        self,
        in_keys: NestedKey | Sequence[NestedKey] | dict[str, NestedKey],
        out_keys: NestedKey | Sequence[NestedKey] | None = None,
        spec: TensorSpec | None = None,
        *,
        safe: bool = False,
        default_interaction_type: InteractionType = InteractionType.DETERMINISTIC,
        distribution_class: type[Distribution] | Callable[..., Distribution] = Delta,
        distribution_kwargs: dict | None = None,
        return_log_prob: bool = False,
        log_prob_keys: Sequence[NestedKey] | None = None,
        log_prob_key: NestedKey | None = None,
        cache_dist: bool = False,
        n_empirical_estimate: int = 1000,
        num_samples: int | torch.Size | None = None,
        generator: torch.Generator | int | NestedKey | None = None,
    ) -> None:
        del cache_dist
        if out_keys is not None:
            out_keys = as_key_list(out_keys)
        ProbabilisticTensorDictModule.__init__(
            self,
            in_keys=in_keys,
            out_keys=out_keys,
            default_interaction_type=default_interaction_type,
            distribution_class=distribution_class,
            distribution_kwargs=distribution_kwargs,
            return_log_prob=return_log_prob,
            log_prob_keys=log_prob_keys,
            log_prob_key=log_prob_key,
            n_empirical_estimate=n_empirical_estimate,
            num_samples=num_samples,
            generator=generator,
        )
        # (argument of the distribution, key), in order
        self.parameters_from = (
            tuple(in_keys.items())
            if isinstance(in_keys, dict)
            else tuple((key if isinstance(key, str) else key[-1], key) for key in self.in_keys)
        )
        self.has_generator = generator is not None
        self._sample_keys = [key for key in self.out_keys if key not in self._log_prob_outputs()]
        target = self._sample_keys[0] if self._sample_keys else None
        self._init_spec(as_output_spec(spec, self.out_keys, target), safe)

    def _log_prob_outputs(self) -> list[NestedKey]:
        return list(self.log_prob_keys) if self.return_log_prob else []

    def forward(
        self,
        tensordict: TensorDictBase | None = None,
        *args: Tensor,
        tensordict_out: TensorDictBase | None = None,
        _requires_sample: bool = True,
        **kwargs: Tensor,
    ) -> TensorDictBase:
        """Draw, score and write."""
        if args or kwargs or not isinstance(tensordict, TensorDictBase):
            tensors = args if tensordict is None else (tensordict, *args)
            return self._call_with_tensors(*tensors, **kwargs)
        try:
            out = ProbabilisticTensorDictModule.forward(
                self, tensordict, tensordict_out, _requires_sample
            )
        except KeyError as error:
            if any(tensordict.get(key, None) is None for key in self.in_keys):
                raise missing_key(self, self.in_keys, tensordict) from error
            raise
        if _requires_sample and not skip_existing():
            self._check_draw(out, tensordict)
            if self.safe:
                self.project_(out)
        return out

    planned_forward = forward

    @dispatch(auto_batch_size=False)
    def _call_with_tensors(self, tensordict: TensorDictBase) -> TensorDictBase:
        return self.forward(tensordict)

    def _check_draw(self, out: TensorDictBase, params: TensorDictBase) -> None:
        if torch.compiler.is_compiling():
            return
        for key in self._sample_keys:
            spec = self._spec.get(key, None)
            value = out.get(key, None) if spec is not None else None
            if isinstance(value, Tensor) and value.shape not in self._fitting:
                if self.distribution_class is CompositeDistribution:
                    check_fits(key, spec, value.shape, value.shape[out.batch_dims :])
                else:
                    self.check_value(value, self.build_dist_from_params(params))

    def check_value(self, value: Tensor, dist: Distribution) -> None:
        """Check a draw of `dist` against the spec, once per shape."""
        if value.shape in self._fitting or torch.compiler.is_compiling():
            return
        key = self._sample_keys[0]
        spec = self._spec.get(key, None)
        if spec is not None:
            classes = getattr(dist, "num_events", None)
            check_fits(key, spec, value.shape, dist.event_shape, classes)
        self._fitting.add(value.shape)


class SafeProbabilisticTensorDictSequential(OutputSpec, ProbabilisticTensorDictSequential):
    """A network followed by a probabilistic head, with the union of their specs.

    A single `TensorDictModule` followed by a head over one of `rl.core.distributions` takes a
    short road: the network's module is called directly and the distribution draws and scores in
    one pass, with the results of the general road. Hooks, selected keys, `skip_existing`,
    generators and every other arrangement take the general road.

    Args:
        *modules: TensorDict modules, the last of them probabilistic.
        partial_tolerant: skip modules whose inputs are missing.

    Reads:
        in_keys: what the network reads.
    Writes:
        out_keys: the network's outputs (parameters), the draw and its log-probability.

    Raises:
        MissingKeyError: at call, an input is not in the TensorDict.
        SpecError: at the first call with a shape, the draw does not fit the spec.

    Example:
        >>> from tensordict import TensorDict
        >>> from tensordict.nn import TensorDictModule
        >>> from rl.core.distributions import OneHotCategorical
        >>> policy = SafeProbabilisticTensorDictSequential(
        ...     TensorDictModule(torch.nn.Linear(3, 2), ["observation"], ["logits"]),
        ...     SafeProbabilisticModule(
        ...         ["logits"], ["action"], distribution_class=OneHotCategorical
        ...     ),
        ... )
        >>> policy(TensorDict(observation=torch.zeros(5, 3), batch_size=[5]))["action"].shape
        torch.Size([5, 2])
    """

    def __init__(self, *modules: Callable, partial_tolerant: bool = False) -> None:
        ProbabilisticTensorDictSequential.__init__(
            self, *modules, partial_tolerant=partial_tolerant
        )
        self._init_spec(union_spec(self.module, self.out_keys), safe=False)
        self._replan()

    def _replan(self) -> PolicyPlan | None:
        self._plan = plan_policy(list(self.module), list(self.out_keys))
        return self._plan

    def _current_plan(self) -> PolicyPlan | None:
        plan = self._plan
        # users replace members in place
        if plan is None or tuple(self._modules["module"]._modules.values()) == plan.modules:
            return plan
        return self._replan()

    def plan_now(self) -> tuple[PolicyPlan | None, InteractionType | None]:
        """Return the plan that stands for a call, and how it draws; None where there is none.

        Hooks on the policy itself are the matter of the caller.
        """
        own = type(self).forward is not SafeProbabilisticTensorDictSequential.forward
        plan = None if own else self._current_plan()
        return plan, None if plan is None else plan.mode()

    def compiled(self, **options: Any) -> Callable[..., Any]:
        """Return a function that does what a call does, compiled; calls of the policy stay as is.

        Networks whose results are drawn from one of `rl.core.distributions` are compiled as a
        function of tensors: the TensorDict is read and written outside of the graph, which spares
        the checks that a graph needs for it. Of all others, it is what `torch.compile` returns.

        Args:
            options: arguments of `torch.compile`.
        """
        return CompiledCall(self, options)

    def compile(self, **options: Any) -> None:
        """Compile the calls of this policy in place, as `compiled` does.

        Args:
            options: arguments of `torch.compile`.
        """
        self._compiled_call_impl = self.compiled(**options)

    def bind(self) -> Callable[[TensorDictBase], TensorDictBase]:
        """Return a function that does what a call does now, without asking anew at each call.

        It is for a loop during which the exploration type, hooks and members stay as they are;
        parameters may change.
        """
        plan, mode = (None, None) if is_hooked(self) else self.plan_now()
        if mode is None:
            return self

        def act(tensordict: TensorDictBase) -> TensorDictBase:
            out = plan.run(tensordict, mode)
            return self.general_forward(tensordict) if out is None else out

        return act

    def get_dist(
        self,
        tensordict: TensorDictBase,
        tensordict_out: TensorDictBase | None = None,
        **kwargs: Any,
    ) -> Distribution:
        """Return the distribution of the head for `tensordict`, which gets its parameters."""
        if tensordict_out is None and not kwargs and not skip_existing():
            plan, known = self._current_plan(), {}
            bare = plan is not None and plan.is_bare()
            dist = plan.distribution(tensordict, known) if bare else None
            if dist is not None:
                tensordict.update(known)
                return dist
        return ProbabilisticTensorDictSequential.get_dist(
            self, tensordict, tensordict_out, **kwargs
        )

    def select_out_keys(
        self, *selected_out_keys: NestedKey
    ) -> SafeProbabilisticTensorDictSequential:
        """Write these keys only."""
        out = ProbabilisticTensorDictSequential.select_out_keys(self, *selected_out_keys)
        self._replan()
        return out

    def reset_out_keys(self) -> SafeProbabilisticTensorDictSequential:
        """Write every key again."""
        out = ProbabilisticTensorDictSequential.reset_out_keys(self)
        self._replan()
        return out

    def forward(
        self,
        tensordict: TensorDictBase | None = None,
        *args: Tensor,
        tensordict_out: TensorDictBase | None = None,
        **kwargs: Any,
    ) -> TensorDictBase:
        """Run the network, draw, score and write into `tensordict`.

        With tensors (by position or as keyword arguments) instead of a TensorDict, return the
        outputs as a tuple.
        """
        # the first test spares the second, which is slow for an abstract class
        if type(tensordict) is not TensorDict and not isinstance(tensordict, TensorDictBase):
            tensors = args if tensordict is None else (tensordict, *args)
            return self._call_with_tensors(*tensors, **kwargs)
        if tensordict_out is None and not args and not kwargs:
            plan = self._current_plan()
            mode = None if plan is None else plan.mode()
            out = None if mode is None else plan.run(tensordict, mode)
            if out is not None:
                return out
        return self.general_forward(tensordict, *args, tensordict_out=tensordict_out, **kwargs)

    def general_forward(
        self,
        tensordict: TensorDictBase,
        *args: Any,
        **kwargs: Any,
    ) -> TensorDictBase:
        """Run through tensordict's own modules: the general road."""
        try:
            return ProbabilisticTensorDictSequential.forward(self, tensordict, *args, **kwargs)
        except KeyError as error:
            if any(tensordict.get(key, None) is None for key in self.in_keys):
                raise missing_key(self, self.in_keys, tensordict) from error
            raise

    @dispatch(auto_batch_size=False)
    def _call_with_tensors(self, tensordict: TensorDictBase) -> TensorDictBase:
        return self.forward(tensordict)
