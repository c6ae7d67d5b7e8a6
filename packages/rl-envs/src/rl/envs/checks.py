"""`check_env_specs`: compare what an env says with what it does; report all mismatches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from tensordict import NestedKey, TensorDictBase
from torch import Tensor

from rl.core import SpecError, TensorSpec
from rl.core.contract.keys import unravel_key
from rl.core.seeding import rng_state, set_rng_state

if TYPE_CHECKING:
    from rl.envs.base import EnvBase

__all__ = ["Mismatch", "check_env_specs", "find_mismatches"]


@dataclass(frozen=True)
class Mismatch:
    """One entry in which an env's data and its specs disagree."""

    key: str
    phase: str
    expected: str
    got: str
    fix: str


def check_env_specs(
    env: EnvBase,
    return_contiguous: bool | None = None,
    check_dtype: bool = True,
    seed: int | None = 0,
    tensordict: TensorDictBase | None = None,
    break_when_any_done: bool = True,
) -> None:
    """Run a reset and a short random rollout, and raise unless they agree with the specs.

    Args:
        env: the env.
        return_contiguous: False to stack the rollout lazily.
        check_dtype: compare dtypes too.
        seed: seed of the run; the random state of torch, numpy and python is put back afterwards.
        tensordict: what `reset` is called with.
        break_when_any_done: stop the rollout at the first end of a trajectory.

    Raises:
        SpecError: a table with a row per mismatch: key, phase, expected, got, likely cause and fix.

    Example:
        >>> from rl.envs import GymEnv
        >>> check_env_specs(GymEnv("CartPole-v1"))
    """
    state = rng_state()
    try:
        if seed is not None:
            env.set_seed(seed)
        mismatches = find_mismatches(env, tensordict, check_dtype=check_dtype)
        if not mismatches:
            env.rollout(
                3,
                return_contiguous=return_contiguous,
                tensordict=None if tensordict is None else tensordict.copy(),
                break_when_any_done=break_when_any_done,
            )
    finally:
        set_rng_state(state)
    if mismatches:
        raise SpecError(_table(env, mismatches))


def find_mismatches(
    env: EnvBase, tensordict: TensorDictBase | None = None, *, check_dtype: bool = True
) -> list[Mismatch]:
    """Return every mismatch between the specs of `env` and one reset and one step."""
    root = env.reset(None if tensordict is None else tensordict.copy())
    found = _compare(env, root, ("observation", "done"), "reset", check_dtype, extra_ok=tensordict)
    transition = env.step(env.rand_action(root.copy()))
    found += _compare(env, transition, ("action",), "action", check_dtype, extra_ok=transition)
    found += _compare(
        env, transition["next"], ("observation", "reward", "done"), "step", check_dtype
    )
    return found


def _compare(
    env: EnvBase,
    data: TensorDictBase,
    groups: tuple[str, ...],
    phase: str,
    check_dtype: bool,
    extra_ok: TensorDictBase | None = None,
) -> list[Mismatch]:
    found = []
    expected = {}
    for group in groups:
        for key, spec in env._get_spec(group).items(True, True):
            expected[unravel_key(key)] = (group, spec)
    batch = data.batch_size[: data.ndim - env.ndim]
    for key, (group, spec) in expected.items():
        value = data.get(key, None)
        if value is None:
            found.append(_missing(key, group, spec, phase))
        elif isinstance(value, Tensor):
            found += _compare_leaf(key, group, spec, value, batch, phase, check_dtype)
    known = set(expected)
    if extra_ok is not None:
        known |= set(extra_ok.keys(True, True))
    if phase == "reset":
        known |= set(env.state_keys) | set(env.action_keys)
    for key in data.keys(True, True):
        if key not in known:
            found.append(_unexpected(key, data.get(key), phase))
    return found


def _missing(key: NestedKey, group: str, spec: TensorSpec, phase: str) -> Mismatch:
    return Mismatch(
        key=str(key),
        phase=phase,
        expected=_describe(spec),
        got="nothing",
        fix=f"write `{key}` in `_{phase}`, or drop it from `{group}_spec`",
    )


def _unexpected(key: NestedKey, value: object, phase: str) -> Mismatch:
    shape = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
    dtype = f" {value.dtype}" if isinstance(value, Tensor) else ""
    return Mismatch(
        key=str(key),
        phase=phase,
        expected="nothing",
        got=f"{shape}{dtype}",
        fix=(
            f"add `{key}` to `observation_spec` (or `state_spec`), or do not write it in `_{phase}`"
        ),
    )


def _compare_leaf(
    key: NestedKey,
    group: str,
    spec: TensorSpec,
    value: Tensor,
    batch: torch.Size,
    phase: str,
    check_dtype: bool,
) -> list[Mismatch]:
    where = f"`{group}_spec`"
    expected = torch.Size([*batch, *spec.shape])
    if -1 not in expected and value.shape != expected:
        fix = (
            f"return `{key}` with shape {list(expected)}, or give {where} shape {list(value.shape)}"
        )
        if value.shape == expected[:-1] and expected[-1:] == (1,):
            fix = f"add the trailing dim: `{key}.unsqueeze(-1)`"
        return [Mismatch(str(key), phase, _describe(spec, expected), _found(value), fix)]
    if check_dtype and value.dtype != spec.dtype:
        fix = f"cast `{key}` to {spec.dtype}, or give {where} dtype={value.dtype}"
        if value.dtype == torch.float64:
            fix += "; `DoubleToFloat()` casts every float64 entry"
        return [Mismatch(str(key), phase, _describe(spec, expected), _found(value), fix)]
    if value.device != spec.device and spec.device is not None:
        fix = f"move `{key}` to {spec.device}, or build the env with `device=`"
        return [Mismatch(str(key), phase, str(spec.device), str(value.device), fix)]
    if not spec.is_in(value):
        fix = f"widen the bounds of {where}, or clip `{key}`"
        low, high = value.min().item(), value.max().item()
        return [Mismatch(str(key), phase, _domain(spec), f"values in [{low}, {high}]", fix)]
    return []


def _describe(spec: TensorSpec, shape: torch.Size | None = None) -> str:
    return f"{list(spec.shape if shape is None else shape)} {spec.dtype}"


def _found(value: Tensor) -> str:
    return f"{list(value.shape)} {value.dtype}"


def _domain(spec: TensorSpec) -> str:
    space = spec.space
    if hasattr(space, "low"):
        return f"values in [{space.low.min().item()}, {space.high.max().item()}]"
    return f"a {type(spec).__name__}" + (f" with n={space.n}" if hasattr(space, "n") else "")


def _table(env: EnvBase, mismatches: list[Mismatch]) -> str:
    head = ("key", "phase", "expected", "got", "fix")
    rows = [head, *((m.key, m.phase, m.expected, m.got, m.fix) for m in mismatches)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = [
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * w for w in widths))
    title = f"{type(env).__name__} disagrees with its specs in {len(mismatches)} place(s):"
    return "\n".join([title, *lines])
