"""TensorDict modules that know the specs of their outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tensordict import TensorDictBase
from tensordict.nn import TensorDictModule, TensorDictSequential, dispatch, skip_existing
from torch import Tensor

from rl.core.contract.keys import NestedKey, as_key_list
from rl.core.modules.actors.fast_road import plan_net
from rl.core.modules.actors.output_spec import OutputSpec, as_output_spec, missing_key
from rl.core.specs.base import TensorSpec
from rl.core.specs.composite import Composite

__all__ = ["SafeModule", "SafeSequential", "union_spec"]


class SafeModule(OutputSpec, TensorDictModule):
    """A module of tensors that reads and writes a TensorDict, with a spec for what it writes.

    Args:
        module: a callable of tensors.
        in_keys: entries passed to it, in order (or a dict from argument name to key).
        out_keys: entries that its outputs become.
        spec: a `Composite` over `out_keys`, or a leaf when there is one output.
        safe: project outputs that are outside the spec into it.
        inplace: as in `TensorDictModule`.

    Reads:
        in_keys: as `module` expects.
    Writes:
        out_keys: the outputs of `module`.

    Raises:
        SpecError: the spec names no output, `safe` has no spec, or (at the first call with a
            shape) an output has another shape than its spec.
        MissingKeyError: at call, an input is not in the TensorDict.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> from rl.core.specs import Bounded
        >>> module = SafeModule(
        ...     torch.nn.Linear(3, 2), ["obs"], ["a"], spec=Bounded(0.0, 0.1, (2,)), safe=True
        ... )
        >>> out = module(TensorDict(obs=torch.randn(5, 3), batch_size=[5]))
        >>> bool(module.spec["a"].is_in(out["a"]))
        True
    """

    def __init__(
        self,
        module: Callable,
        in_keys: Sequence[NestedKey] | dict,
        out_keys: Sequence[NestedKey],
        spec: TensorSpec | None = None,
        safe: bool = False,
        inplace: bool | str = True,
    ) -> None:
        out_keys = as_key_list(out_keys)
        TensorDictModule.__init__(self, module, in_keys, out_keys, inplace=inplace)
        self._init_spec(as_output_spec(spec, out_keys), safe)
        self._plan = plan_net(self)

    def forward(
        self,
        tensordict: TensorDictBase | None = None,
        *args: Tensor,
        tensordict_out: TensorDictBase | None = None,
        **kwargs: Tensor,
    ) -> TensorDictBase:
        """Write the module's outputs; with tensors instead of a TensorDict, return them."""
        if args or kwargs or not isinstance(tensordict, TensorDictBase):
            tensors = args if tensordict is None else (tensordict, *args)
            return self._call_with_tensors(*tensors, **kwargs)
        plan = self._plan
        if plan is not None and tensordict_out is None and not skip_existing():
            outputs = plan.call(self, tensordict, {})
            if outputs is not None:
                if len(outputs) == 1:
                    tensordict.set(plan.out_keys[0], outputs[0])
                else:
                    tensordict.update(dict(zip(plan.out_keys, outputs, strict=True)))
                if self._leaves:
                    self.check_outputs(tensordict)
                return tensordict
        try:
            out = TensorDictModule.forward(self, tensordict, tensordict_out=tensordict_out)
        except KeyError as error:
            if any(tensordict.get(key, None) is None for key in self.in_keys):
                raise missing_key(self, self.in_keys, tensordict) from error
            raise
        self.check_outputs(out)
        return self.project_(out) if self.safe else out

    planned_forward = forward

    @dispatch(auto_batch_size=False)
    def _call_with_tensors(self, tensordict: TensorDictBase) -> TensorDictBase:
        return self.forward(tensordict)


class SafeSequential(OutputSpec, TensorDictSequential):
    """A chain of TensorDict modules whose spec is the union of theirs.

    Args:
        *modules: TensorDict modules; each may read what the ones before it wrote.
        partial_tolerant: skip modules whose inputs are missing.
        inplace: as in `TensorDictSequential`.

    Reads:
        in_keys: what the modules read and none before them writes.
    Writes:
        out_keys: what the modules write.

    Raises:
        MissingKeyError: at call, an input is not in the TensorDict.

    Example:
        >>> import torch
        >>> first = SafeModule(torch.nn.Linear(3, 4), ["obs"], ["hidden"])
        >>> second = SafeModule(torch.nn.Linear(4, 2), ["hidden"], ["action"])
        >>> SafeSequential(first, second).in_keys
        ['obs']
    """

    def __init__(
        self,
        *modules: Callable,
        partial_tolerant: bool = False,
        inplace: bool | str | None = None,
    ) -> None:
        TensorDictSequential.__init__(
            self, *modules, partial_tolerant=partial_tolerant, inplace=inplace
        )
        self._init_spec(union_spec(self.module, self.out_keys), safe=False)

    def forward(
        self,
        tensordict: TensorDictBase | None = None,
        *args: Tensor,
        tensordict_out: TensorDictBase | None = None,
        **kwargs: Any,
    ) -> TensorDictBase:
        """Run the modules one after the other."""
        if not isinstance(tensordict, TensorDictBase):
            tensors = args if tensordict is None else (tensordict, *args)
            return TensorDictSequential.forward(self, *tensors, **kwargs)
        try:
            return TensorDictSequential.forward(
                self, tensordict, *args, tensordict_out=tensordict_out, **kwargs
            )
        except KeyError as error:
            if any(tensordict.get(key, None) is None for key in self.in_keys):
                raise missing_key(self, self.in_keys, tensordict) from error
            raise


def union_spec(modules: Sequence, out_keys: Sequence[NestedKey]) -> Composite:
    """Return the specs of the modules as one composite; the last writer of a key wins."""
    merged = Composite(dict.fromkeys(key for key in out_keys if key != "_"))
    for module in modules:
        spec = module.spec if isinstance(module, OutputSpec) else None
        if spec is None:
            continue
        for key in spec.keys(True, True):
            if key in out_keys and spec[key] is not None:
                merged.set(key, spec[key])
    return merged
