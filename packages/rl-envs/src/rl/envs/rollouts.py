"""`rollout`: run a policy in an env and return the trajectory as one TensorDict."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tensordict import NestedKey, TensorDict, TensorDictBase
from tensordict.nn import TensorDictModuleBase
from torch import Tensor

from rl.core import RLError
from rl.core.modules.actors.carried import carried_keys
from rl.envs import stepping
from rl.envs.policy import Policy, as_policy, bound, check_policy_reads
from rl.envs.policy_state import with_policy_state
from rl.envs.random_actions import RandomActions
from rl.envs.tape import Tape

if TYPE_CHECKING:
    from rl.envs.base import EnvBase

__all__ = ["Stepper", "rollout"]


def rollout(  # noqa: PLR0913 (the arguments TorchRL users pass)
    env: EnvBase,
    max_steps: int,
    policy: Policy | None = None,
    callback: Callable[[EnvBase, TensorDictBase], object] | None = None,
    *,
    auto_reset: bool = True,
    auto_cast_to_device: bool = False,
    break_when_any_done: bool | None = None,
    break_when_all_done: bool | None = None,
    return_contiguous: bool | None = None,
    tensordict: TensorDictBase | None = None,
    set_truncated: bool = False,
    out: TensorDictBase | None = None,
    trust_policy: bool = False,
    actions: TensorDictBase | Tensor | None = None,
) -> TensorDictBase:
    """Run `policy` in `env` for up to `max_steps` steps.

    A policy with a memory needs no preparation of the env: what it declares and the env lacks is
    added for the rollout (see `with_policy_state`); `env` itself stays as it is.

    Args:
        env: the env.
        max_steps: the number of steps at most.
        policy: what acts (see `as_policy`); random actions if None.
        callback: called as `callback(env, tensordict)` after each step, with the whole transition.
        auto_reset: start from a reset; otherwise from `tensordict`.
        auto_cast_to_device: move roots to the policy's device and back around each call.
        break_when_any_done: stop at the first end of a trajectory (the default). False resets the
            envs that are done and goes on.
        break_when_all_done: stop when every env has been done; those that are done stand still
            meanwhile.
        return_contiguous: False for a lazy stack of the steps; None picks it for ragged or
            non-tensor data.
        tensordict: the root to start from, or what the reset is called with.
        set_truncated: mark the last step truncated and done wherever it is not done.
        out: a `[*B, max_steps]` TensorDict to write into.
        trust_policy: use `policy` as it is.
        actions: actions to replay instead of a policy: `[*B, T, ...]`, or a TensorDict of them.

    Returns:
        A `[*B, T]` TensorDict whose last batch dim is named "time".

    Raises:
        RLError: contradictory flags, or no step to take.
        MissingKeyError: the policy reads a key that the env does not write.

    Example:
        >>> from rl.envs import GymEnv
        >>> rollout(GymEnv("Pendulum-v1"), 5).shape
        torch.Size([5])
    """
    stop = _stop_rule(break_when_any_done, break_when_all_done)
    env = with_policy_state(env, policy)
    if actions is not None:
        acting = _replay(env, actions)
    elif policy is None:
        acting = RandomActions(env, max_steps)
    else:
        acting = as_policy(env, policy, trust_policy=trust_policy)
    if auto_cast_to_device:
        acting = _cast(env, acting, policy)
    root = _first_root(env, tensordict, auto_reset)
    check_policy_reads(env, acting, root)
    tape = Tape(max_steps, dense=return_contiguous is not False, out=out)
    _run(env, acting, callback, root, max_steps, stop, tape, set_truncated)
    return tape.stack()


def _stop_rule(any_done: bool | None, all_done: bool | None) -> str:
    if any_done and all_done:
        raise RLError(
            "`break_when_any_done` and `break_when_all_done` contradict each other: "
            "pass one of them."
        )
    if all_done:
        return "all"
    return "never" if any_done is False else "any"


def _first_root(
    env: EnvBase, tensordict: TensorDictBase | None, auto_reset: bool
) -> TensorDictBase:
    if auto_reset:
        return env.reset(tensordict)
    if tensordict is None:
        raise RLError("`auto_reset=False` needs the root to start from: pass `tensordict=`.")
    return tensordict.copy()


def _run(
    env: EnvBase,
    policy: Policy,
    callback: Callable | None,
    root: TensorDictBase,
    max_steps: int,
    stop: str,
    tape: Tape,
    set_truncated: bool,
) -> None:
    plan = env.keys_plan
    stepper = Stepper(env, policy)
    # a callback may change how the policy acts
    act = bound(policy) if callback is None else policy
    for index in range(max_steps):
        root = act(root)
        following = stepper.step(root)
        over = plan.any_done(following)
        last = index == max_steps - 1 or (over and stop == "any")
        if stop == "all" and over:
            last = last or bool(stepping.all_groups_done(env, following).all())
        if last and set_truncated:
            stepping.truncate(env, following)
        if callback is not None:
            callback(env, root.copy().set("next", following.copy()))
        tape.append(root, following)
        if last:
            break
        root = stepper.advance(root, following)
        if over and stop == "never":
            root = stepping.reset_done(env, root)
        elif over:
            root.set("_step", ~stepping.all_groups_done(env, root))


class Stepper:
    """Steps an env from the roots that one policy wrote, and makes the root of the next step.

    The first root is checked, and shows which moves are needed at each step.

    Args:
        env: the env.
        policy: what wrote the roots.
    """

    def __init__(self, env: EnvBase, policy: Policy) -> None:
        self._env = env
        self._plan = env.keys_plan
        self._overwritten = _overwritten(env, policy)
        self._first = True
        self._policy_writes_next = False
        #: states that the policy wrote and the env did not see, as inside a vector env
        self._unseen: list[NestedKey] = []
        self._dropped: list[str] | None = None

    def step(self, root: TensorDictBase) -> TensorDictBase:
        """Return the content of "next": what the policy wrote there, and the step's result."""
        if self._first:
            self._env._action_check(root)
            self._policy_writes_next = "next" in root.keys()  # noqa: SIM118 (a TensorDict)
        mask = root.get("_step", None) if self._unseen else None
        following = self._env.step_next(root)
        if self._policy_writes_next:
            written = root.pop("next")
            if self._first:
                self._unseen = stepping.unseen_states(self._env, written, following)
            following = stepping.with_states(self._unseen, written, following, mask)
        if self._first:
            self._dropped = self._moves(root, following)
            self._first = False
        return following

    def advance(self, root: TensorDictBase, following: TensorDictBase) -> TensorDictBase:
        """Return the next root; `following` may be taken apart for it."""
        if self._dropped is None:
            return self._plan.step_plan.advance(root, following)
        for key in self._dropped:
            following.del_(key)
        return following

    def _moves(self, root: TensorDictBase, following: TensorDictBase) -> list[str] | None:
        """Return what is to be left out of "next" to make it the next root, if that is all.

        It is when "next" is flat and the root holds nothing else that the policy does not write
        anew at each step.
        """
        flat = type(following) is TensorDict and all(
            isinstance(value, Tensor) for value in following.values()
        )
        stays = set(root.keys()) - set(following.keys()) - self._overwritten
        return list(self._plan.reward_keys) if flat and not stays else None


def _overwritten(env: EnvBase, policy: Policy) -> set[NestedKey]:
    """Return the keys that `policy` writes at each step and never reads, not even later."""
    if isinstance(policy, RandomActions):
        return set(env.action_keys)
    if isinstance(policy, TensorDictModuleBase):
        return set(policy.out_keys) - set(policy.in_keys) - carried_keys(policy)
    return set()


def _cast(env: EnvBase, policy: Policy, module: object) -> Policy:
    parameter = next(iter(module.parameters()), None) if hasattr(module, "parameters") else None
    if parameter is None or env.device is None or parameter.device == env.device:
        return policy

    def cast(root: TensorDictBase) -> TensorDictBase:
        return policy(root.to(parameter.device)).to(env.device)

    return cast


def _replay(env: EnvBase, actions: TensorDictBase | Tensor) -> Policy:
    if isinstance(actions, Tensor):
        columns = {env.action_key: actions}
    else:
        columns = {key: actions[key] for key in env.action_keys}
    rows = {key: iter(column.unbind(env.ndim)) for key, column in columns.items()}

    def replay(root: TensorDictBase) -> TensorDictBase:
        for key, row in rows.items():
            root.set(key, next(row))
        return root

    return replay
