"""Policies: a deterministic actor and one that draws from a distribution."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from tensordict.nn import CompositeDistribution, InteractionType, TensorDictModuleBase
from torch.distributions import Distribution

from rl.core.contract.keys import NestedKey, as_key_list
from rl.core.errors import RLError
from rl.core.modules.actors.probabilistic import (
    SafeProbabilisticModule,
    SafeProbabilisticTensorDictSequential,
)
from rl.core.modules.actors.safe_module import SafeModule
from rl.core.specs.base import TensorSpec

__all__ = ["Actor", "ProbabilisticActor"]


class Actor(SafeModule):
    """A deterministic policy.

    Args:
        module: a callable from observations to actions.
        in_keys: entries it reads; default `["observation"]`.
        out_keys: entries it writes; default `["action"]`.
        spec: the action's spec.
        safe: project actions that are outside the spec into it.

    Reads:
        observation: `[*B, *O]`.
    Writes:
        action: `[*B, *A]`.

    Raises:
        SpecError: at the first call with a shape, the action does not fit `spec`.

    Example:
        >>> from tensordict import TensorDict
        >>> actor = Actor(torch.nn.Linear(3, 2))
        >>> actor(TensorDict(observation=torch.zeros(5, 3), batch_size=[5]))["action"].shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        module: Callable,
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
        *,
        spec: TensorSpec | None = None,
        safe: bool = False,
        inplace: bool | str = True,
    ) -> None:
        in_keys = ["observation"] if in_keys is None else in_keys
        out_keys = ["action"] if out_keys is None else as_key_list(out_keys)
        if spec is not None and not hasattr(spec, "keys"):
            spec = {key: spec if key == out_keys[0] else None for key in out_keys}
        super().__init__(module, in_keys, out_keys, spec=spec, safe=safe, inplace=inplace)


class ProbabilisticActor(SafeProbabilisticTensorDictSequential):
    """A stochastic policy: a network that writes parameters, and a head that draws from them.

    What the draw is depends on `set_exploration_type`: RANDOM samples, DETERMINISTIC takes
    `dist.deterministic_sample`, MODE the mode and MEAN the mean.

    Args:
        module: a TensorDict module that writes the distribution's parameters.
        in_keys: the parameters: keys whose last names are arguments of `distribution_class`, or
            a dict from argument to key.
        out_keys: the action's key; default `["action"]`, or the names of a
            `CompositeDistribution`.
        spec: the action's spec, checked against the first draw of each shape.
        distribution_class: a torch distribution; those of `rl.core.distributions` are fastest.
        distribution_kwargs: constants passed to it, such as bounds.
        return_log_prob: write the log-probability of the action.
        log_prob_key: where; default `<action>_log_prob` beside the action.
        log_prob_keys: the same, for several actions.
        default_interaction_type: what to do outside `set_exploration_type`.
        safe: project actions that are outside the spec into it.
        cache_dist: without effect.
        n_empirical_estimate: draws averaged for the mean of a distribution without one.
        num_samples: draw this many actions, as leading dimensions.
        generator: a `torch.Generator`, a seed, or the key that holds one.

    Reads:
        observation: whatever `module` reads.
    Writes:
        loc, scale, ...: the parameters, as `module` writes them.
        action: `[*B, *A]`.
        action_log_prob: `[*B]`, when `return_log_prob`.

    Raises:
        RLError: `module` takes tensors; wrap it in `TensorDictModule`.
        SpecError: at the first call with a shape, the action does not fit `spec`.
        MissingKeyError: at call, an input is not in the TensorDict.

    Example:
        >>> from tensordict import TensorDict
        >>> from tensordict.nn import NormalParamExtractor, TensorDictModule
        >>> from rl.core.distributions import TanhNormal
        >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4), NormalParamExtractor())
        >>> actor = ProbabilisticActor(
        ...     TensorDictModule(net, ["observation"], ["loc", "scale"]),
        ...     in_keys=["loc", "scale"],
        ...     distribution_class=TanhNormal,
        ...     return_log_prob=True,
        ... )
        >>> td = actor(TensorDict(observation=torch.zeros(5, 3), batch_size=[5]))
        >>> td["action"].shape, td["action_log_prob"].shape
        (torch.Size([5, 2]), torch.Size([5]))
    """

    def __init__(  # noqa: PLR0913 - the arguments that TorchRL users pass
        self,
        module: TensorDictModuleBase,
        in_keys: NestedKey | Sequence[NestedKey] | dict[str, NestedKey],
        out_keys: NestedKey | Sequence[NestedKey] | None = None,
        *,
        spec: TensorSpec | None = None,
        distribution_class: type[Distribution] | Callable[..., Distribution],
        distribution_kwargs: dict | None = None,
        return_log_prob: bool = False,
        log_prob_key: NestedKey | None = None,
        log_prob_keys: Sequence[NestedKey] | None = None,
        default_interaction_type: InteractionType = InteractionType.DETERMINISTIC,
        safe: bool = False,
        cache_dist: bool = False,
        n_empirical_estimate: int = 1000,
        num_samples: int | torch.Size | None = None,
        generator: torch.Generator | int | NestedKey | None = None,
    ) -> None:
        if not isinstance(module, TensorDictModuleBase):
            raise RLError(
                f"`module` is a {type(module).__name__}, expected a TensorDict module that writes "
                f"{as_key_list(in_keys)}: wrap it, "
                "`TensorDictModule(module, in_keys=['observation'], out_keys=[...])`."
            )
        if out_keys is None and distribution_class is not CompositeDistribution:
            out_keys = ["action"]
        head = SafeProbabilisticModule(
            in_keys,
            out_keys,
            spec,
            safe=safe,
            default_interaction_type=default_interaction_type,
            distribution_class=distribution_class,
            distribution_kwargs=distribution_kwargs,
            return_log_prob=return_log_prob,
            log_prob_keys=log_prob_keys,
            log_prob_key=log_prob_key,
            cache_dist=cache_dist,
            n_empirical_estimate=n_empirical_estimate,
            num_samples=num_samples,
            generator=generator,
        )
        super().__init__(module, head)
