"""Burn-in of recurrent states that were stored long ago."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tensordict import TensorDictBase
from tensordict.nn import TensorDictModuleBase

from rl.core.contract.keys import NestedKey, as_key_list, in_next, unravel_key
from rl.core.errors import MissingKeyError, RLError, ShapeError, SpecError
from rl.core.modules import set_recurrent_mode
from rl.core.specs import Composite
from rl.core.transform import Transform

__all__ = ["BurnInTransform"]


class BurnInTransform(Transform):
    """Run modules over the first steps of sampled sequences, to bring their state up to date.

    The steps run through are left out of the result, whose first step has the state that the
    modules reached (Kapturowski et al., 2019, section 3). No gradient flows through them. The
    modules are not part of the buffer: they are neither copied nor saved with it.

    A slice sampler gives flat batches: reshape them to `[num_slices, slice_len]` before, with a
    transform of its own.

    Args:
        modules: modules with a state, such as `GRUModule`; they run in recurrent mode.
        burn_in: number of steps to run through.
        out_keys: states to set; those that the modules write below `"next"` by default, read there
            and set at the root.

    Reads:
        modules' in_keys: `[*B, T, ...]`; time is the last batch dimension.
    Writes:
        out_keys: `[*B, T - burn_in, ...]`, the first step new, the others as stored.

    Raises:
        SpecError: `burn_in` is negative.
        MissingKeyError: no module writes below `"next"`, and no `out_keys` are given.

    Example:
        >>> from tensordict import TensorDict
        >>> from rl.core.modules import GRUModule
        >>> gru = GRUModule(
        ...     input_size=2, hidden_size=3, in_keys=["x", "h"], out_keys=["y", ("next", "h")]
        ... )
        >>> data = TensorDict({"x": torch.ones(4, 9, 2), "h": torch.zeros(4, 9, 1, 3)}, [4, 9])
        >>> data["is_init"] = torch.zeros(4, 9, 1, dtype=torch.bool)
        >>> BurnInTransform([gru], burn_in=5)(data).shape
        torch.Size([4, 4])
    """

    def __init__(
        self,
        modules: Sequence[TensorDictModuleBase] | TensorDictModuleBase,
        burn_in: int,
        out_keys: Sequence[NestedKey] | None = None,
    ) -> None:
        if burn_in < 0:
            raise SpecError(f"`burn_in` is {burn_in}, expected a number of steps from 0 on.")
        parts = [modules] if isinstance(modules, TensorDictModuleBase) else list(modules)
        super().__init__()
        # the learner's networks: neither parameters of the buffer nor part of its state
        self.__dict__["burn_in_modules"] = parts
        self.burn_in = burn_in
        written = [unravel_key(key) for module in parts for key in module.out_keys]
        states = [key for key in written if isinstance(key, tuple) and key[0] == "next"]
        self.out_keys = (
            [key[1] if len(key) == 2 else key[1:] for key in states]
            if out_keys is None
            else as_key_list(out_keys)
        )
        if not self.out_keys:
            raise MissingKeyError(
                f"No module writes a state below `next`; they write {written}. Pass `out_keys` "
                "or modules with a state."
            )

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Return the sequences without their first `burn_in` steps.

        Raises:
            ShapeError: they have no more steps than that.
            MissingKeyError: a module did not write a state.
        """
        if self.burn_in == 0:
            return tensordict
        length = tensordict.shape[-1] if tensordict.ndim else 0
        if length <= self.burn_in:
            raise ShapeError(
                f"The batch has shape {list(tensordict.shape)}, expected sequences of more than "
                f"{self.burn_in} steps in the last dimension: sample longer slices, as "
                "`[num_slices, slice_len]`, or burn in fewer steps."
            )
        run = tensordict[..., : self.burn_in].copy()
        rest = tensordict[..., self.burn_in :].copy()
        with torch.no_grad(), set_recurrent_mode(True):
            for module in self.burn_in_modules:
                run = module(run)
        for key in self.out_keys:
            state = run.get(in_next(key), None)
            if state is None:
                raise MissingKeyError(
                    f"No module wrote `{in_next(key)}`: name what they write with `out_keys`."
                )
            rest.set(key, _with_first(rest, key, state[(*[slice(None)] * (run.ndim - 1), -1)]))
        return rest

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Refuse to work in an env.

        Raises:
            RLError: always.
        """
        raise RLError(
            "`BurnInTransform` works on sampled sequences: give it to "
            "`ReplayBuffer(transform=...)`."
        )


def _with_first(data: TensorDictBase, key: NestedKey, first: torch.Tensor) -> torch.Tensor:
    """Return an entry with a new first step; one that is not stored is zero elsewhere."""
    time = data.ndim - 1
    stored = data.get(key, None)
    if stored is None:
        shape = (*data.shape, *first.shape[time:])
        stored = torch.zeros(shape, dtype=first.dtype, device=first.device)
    later = stored.narrow(time, 1, stored.shape[time] - 1)
    return torch.cat([first.unsqueeze(time).to(stored.dtype), later], time)
