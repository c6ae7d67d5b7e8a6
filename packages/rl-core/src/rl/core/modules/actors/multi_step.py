"""An actor that plans several actions at once, executed one by one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tensordict import TensorDictBase
from tensordict.nn import TensorDictModuleBase
from torch import Tensor

from rl.core.contract.keys import NestedKey, as_key_list, sibling, unravel_key
from rl.core.errors import MissingKeyError, RLError, ShapeError
from rl.core.modules.actors.output_spec import missing_key

__all__ = ["MultiStepActorWrapper"]


class MultiStepActorWrapper(TensorDictModuleBase):
    """Execute an actor that writes a chunk of actions: one per call, then plan again.

    The chunk and the number of its actions that were taken live in the TensorDict and travel with
    the trajectory, so that the wrapper itself has no state. Each entry of a batch plans at its own
    time: where a trajectory begins, or where its chunk has been executed. The actor is called on
    those entries only, and not at all when there are none.

    Args:
        actor: a TensorDict module that writes chunks `[*B, n_steps, *A]`, their time right after
            the batch dimensions of the TensorDict.
        n_steps: length of a chunk; None takes what the actor writes.
        action_keys: where single actions go; default: named after the chunks, `"action"` for
            `"action_chunk"` and `("vla_action", "chunk")`.
        chunk_keys: the entries of the actor that are chunks; default: those whose last name ends
            with `"chunk"`, or else with `"action"`.
        init_key: where first steps are marked (`InitTracker`); default `"is_init"`.
        keep_dim: write actions `[*B, 1, *A]`.
        replan_interval: number of actions taken from each chunk; default all.

    Reads:
        in_keys: what the actor reads.
        is_init: `[*B, 1]` bool.
        action_orig or the chunk's key, counter: the state, absent before the first step.
    Writes:
        out_keys: what the actor writes. Its entries other than the chunks stay as they were where
            nothing is planned.
        action: `[*B, *A]`.
        action_orig: `[*B, n_steps, *A]`, the chunk, where the actor writes it as `action`.
        counter: `[*B, 1]` int32, how many of its actions were taken.

    Raises:
        RLError: there is no chunk to execute, or `replan_interval` does not fit.
        MissingKeyError: at call, there is no `is_init`, or outputs of the step before are gone.
        ShapeError: at call, the actor writes chunks of another length.

    Example:
        >>> from tensordict import TensorDict
        >>> from tensordict.nn import TensorDictModule
        >>> plan = TensorDictModule(lambda obs: obs + torch.arange(3.0), ["obs"], ["action"])
        >>> actor = MultiStepActorWrapper(plan, n_steps=3)
        >>> td = TensorDict(obs=torch.tensor(10.0), is_init=torch.tensor([True]))
        >>> for _ in range(4):
        ...     print(actor(td)["action"].item(), end=" ")
        ...     td["is_init"] = torch.tensor([False])
        10.0 11.0 12.0 10.0
    """

    def __init__(
        self,
        actor: TensorDictModuleBase,
        n_steps: int | None = None,
        *,
        action_keys: NestedKey | Sequence[NestedKey] | None = None,
        chunk_keys: NestedKey | Sequence[NestedKey] | None = None,
        init_key: NestedKey | None = None,
        keep_dim: bool = False,
        replan_interval: int | None = None,
    ) -> None:
        super().__init__()
        if replan_interval is not None and not 1 <= replan_interval <= (n_steps or replan_interval):
            raise RLError(
                f"`replan_interval` is {replan_interval} for chunks of {n_steps} actions: give a "
                "number from 1 to `n_steps`."
            )
        self.actor, self.n_steps = actor, n_steps
        self.init_key = "is_init" if init_key is None else unravel_key(init_key)
        self.keep_dim, self.replan_interval = keep_dim, replan_interval
        self.chunk_keys = _chunk_keys(actor, chunk_keys)
        self.action_keys = (
            [_action_of(key) for key in self.chunk_keys]
            if action_keys is None
            else as_key_list(action_keys)
        )
        if len(self.action_keys) != len(self.chunk_keys):
            raise RLError(
                f"There are {len(self.action_keys)} action keys {self.action_keys} for the chunks "
                f"{self.chunk_keys}: give one action per chunk, in the same order."
            )
        # a chunk is its own cache unless the action takes its place
        self.plan_keys = [
            sibling(key, f"{_leaf(key)}_orig") if key in self.action_keys else key
            for key in self.chunk_keys
        ]
        self.step_key = "counter"
        self.in_keys = list(dict.fromkeys([*actor.in_keys, self.init_key]))
        self.carried_keys = [*self.plan_keys, self.step_key]
        outputs = [*actor.out_keys, *self.action_keys, *self.carried_keys]
        self.out_keys = list(dict.fromkeys(outputs))

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write the next action, after planning where it is time to."""
        is_init = tensordict.get(self.init_key, None)
        if is_init is None:
            raise missing_key(self, self.in_keys, tensordict)
        step = tensordict.get(self.step_key, None)
        due = is_init.reshape(*tensordict.batch_size, -1).any(-1)
        if step is None or tensordict.get(self.plan_keys[0], None) is None:
            due = torch.ones_like(due)
            step = torch.zeros(due.shape, dtype=torch.int32, device=due.device)
        else:
            step = step.reshape(due.shape)
            due = due | (step >= self._interval(tensordict))
        if torch.compiler.is_compiling() or due.any():
            self._plan(tensordict, due)
            step = step.masked_fill(due, 0)
        for plan_key, action_key in zip(self.plan_keys, self.action_keys, strict=True):
            tensordict.set(action_key, self._take(tensordict.get(plan_key), step))
        return tensordict.set(self.step_key, (step + 1).unsqueeze(-1))

    def _interval(self, tensordict: TensorDictBase) -> int:
        if self.replan_interval is not None:
            return self.replan_interval
        return tensordict.get(self.plan_keys[0]).shape[tensordict.batch_dims]

    def _plan(self, tensordict: TensorDictBase, due: Tensor) -> None:
        """Call the actor where `due` and write its outputs there."""
        whole = due.dim() == 0 or torch.compiler.is_compiling() or bool(due.all())
        rows = None if whole else due.nonzero(as_tuple=True)
        given = tensordict.select(*self.actor.in_keys, strict=False)
        written = self.actor(given if rows is None else given[rows])
        for key in self.actor.out_keys:
            value = written.get(key, None)
            if key in self.chunk_keys:
                self._check(key, value, written.batch_dims)
                key = self.plan_keys[self.chunk_keys.index(key)]
            if value is not None and key != "_" and key not in self.action_keys:
                _write(tensordict, key, value, due, rows)

    def _check(self, key: NestedKey, chunk: Tensor | None, batch_dims: int) -> None:
        shape = None if chunk is None else chunk.shape
        length = None if shape is None or len(shape) <= batch_dims else shape[batch_dims]
        least = self.replan_interval or 1
        if length is None or length < least or self.n_steps not in (None, length):
            given = "nothing" if shape is None else f"shape {list(shape)}"
            raise ShapeError(
                f"The actor wrote {given} at `{key}`, expected {self.n_steps or f'{least} or more'}"
                f" actions at dimension {batch_dims}, right after the batch: set `n_steps`, or "
                "move the time of the chunk there."
            )

    def _take(self, plan: Tensor, step: Tensor) -> Tensor:
        """Return the action of `plan` `[*B, n_steps, *A]` at `step` `[*B]`."""
        dim = step.dim()
        index = step.long().reshape(*step.shape, *(1,) * (plan.dim() - dim))
        index = index.expand(*plan.shape[:dim], 1, *plan.shape[dim + 1 :])
        action = plan.gather(dim, index)
        return action if self.keep_dim else action.squeeze(dim)


def _write(
    tensordict: TensorDictBase,
    key: NestedKey,
    value: Tensor,
    due: Tensor,
    rows: tuple[Tensor, ...] | None,
) -> None:
    """Write `value` where `due`; with `rows` it has only those."""
    old = tensordict.get(key, None)
    if rows is not None:
        if old is None:
            raise MissingKeyError(
                f"`{key}` of the step before is missing, and some entries of the batch plan now "
                "while others do not: keep what the actor writes from one step to the next."
            )
        old = old.clone()  # it belongs to the data of the step before
        old[rows] = value
        value = old
    elif old is not None and due.dim() and old.shape == value.shape:
        value = torch.where(due.reshape(*due.shape, *(1,) * (value.dim() - due.dim())), value, old)
    tensordict.set(key, value)


def _leaf(key: NestedKey) -> str:
    return key if isinstance(key, str) else key[-1]


def _chunk_keys(
    actor: TensorDictModuleBase, chunk_keys: NestedKey | Sequence[NestedKey] | None
) -> list[NestedKey]:
    outputs = as_key_list(list(actor.out_keys))
    if chunk_keys is not None:
        keys = as_key_list(chunk_keys)
    else:
        keys = [key for key in outputs if _leaf(key).endswith("chunk")]
        keys = keys or [key for key in outputs if _leaf(key).endswith("action")]
    if not keys or any(key not in outputs for key in keys):
        raise RLError(
            f"`{type(actor).__name__}` writes {outputs}, chunks are expected at {keys}: pass "
            "`chunk_keys=`, the keys of the actor whose entries are `[*B, n_steps, *A]`."
        )
    return keys


def _action_of(key: NestedKey) -> NestedKey:
    """Return the action that a chunk is named after."""
    leaf = _leaf(key)
    if leaf == "chunk":
        return "action"
    return sibling(key, leaf.removesuffix("_chunk"))
