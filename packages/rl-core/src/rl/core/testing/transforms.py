"""The conformance kit of transforms: do the function on specs and the function on data agree?"""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDictBase
from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.specs import Composite
from rl.core.transform import Transform

__all__ = ["check_transform"]


def check_transform(transform: Transform, env: Any, *, steps: int = 4) -> None:  # noqa: ANN401
    """Raise unless `transform` behaves as a transform of `env` should.

    It checks that the specs of the env are not changed; that what reset, step and partial reset
    give has exactly the keys, shapes, dtypes and values of the transformed specs; that a clone is
    independent; that a state dict restores a fresh transform; and, for a batchable transform, that
    transforming a stack is stacking what is transformed.

    Args:
        transform: the transform; clones of it are used.
        env: an env, as `rl.envs.EnvBase`, that has random actions and may be reset.
        steps: how many steps are taken.

    Raises:
        AssertionError: names the property that does not hold, and the key.
    """
    before = env.output_spec.clone(), env.input_spec.clone()
    subject = transform.clone()
    wrapped = env.with_transform(subject)
    _check_rollout(wrapped, steps)
    if wrapped.batch_size:
        _check_partial_reset(wrapped)
    _require(
        (env.output_spec, env.input_spec) == before,
        "the transform changed the specs of the env it was given",
    )
    _check_clone(subject, wrapped)
    _check_state_dict(transform, subject, env)
    if transform.batchable and not env.batch_size:
        _check_batchable(transform, env)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(f"Transform conformance: {message}.")


def _check_rollout(wrapped: Any, steps: int) -> None:  # noqa: ANN401
    groups = wrapped.output_spec
    root_specs = [groups["full_observation_spec"], groups["full_done_spec"]]
    root = wrapped.reset()
    _check_data(root, root_specs, "reset", exact=True)
    for _ in range(steps):
        root = wrapped.rand_action(root)
        _check_data(root, [wrapped.full_action_spec], "action", exact=False)
        following = wrapped.step(root)["next"]
        _check_data(following, [*root_specs, groups["full_reward_spec"]], "step", exact=True)
        root = wrapped.maybe_reset(wrapped.step_mdp(root))
        _check_data(root, root_specs, "following root", exact=False)


def _check_data(data: TensorDictBase, specs: list[Composite], phase: str, *, exact: bool) -> None:
    leaves = {key: spec[key] for spec in specs for key in spec.keys(True, True)}
    present = set(data.keys(True, True))
    _require(
        set(leaves) <= present,
        f"after {phase} the data lack {_names(set(leaves) - present)}, which the specs declare",
    )
    _require(
        not exact or present <= set(leaves),
        f"after {phase} the data have {_names(present - set(leaves))}, which no spec declares",
    )
    for key, leaf in leaves.items():
        value = data.get(key)
        if isinstance(value, Tensor):
            _require(
                value.shape == leaf.shape,
                f"after {phase} `{key}` has shape {list(value.shape)}, its spec {list(leaf.shape)}",
            )
            _require(
                value.dtype == leaf.dtype,
                f"after {phase} `{key}` is {value.dtype}, its spec {leaf.dtype}",
            )
        _require(leaf.is_in(value), f"after {phase} `{key}` lies outside of its spec {leaf}")


def _check_partial_reset(wrapped: Any) -> None:  # noqa: ANN401
    root = wrapped.reset()
    for _ in range(2):
        root = wrapped.step_mdp(wrapped.rand_step(root))
    old = root.clone()
    first = torch.zeros(wrapped.batch_size, dtype=torch.bool, device=wrapped.device)
    first.view(-1)[0] = True
    for key in wrapped.reset_keys:
        group = () if isinstance(key, str) else key[:-1]
        shape = wrapped.full_done_spec[(*group, "done")].shape
        mask = first.reshape(*first.shape, *[1] * (len(shape) - first.ndim)).expand(shape)
        root.set(key, mask.clone())
    new = wrapped.reset(root)
    groups = wrapped.output_spec
    specs = [groups["full_observation_spec"], groups["full_done_spec"]]
    _check_data(new, specs, "partial reset", exact=False)
    rows = ~first
    for spec in specs:
        for key in spec.keys(True, True):
            _require(
                _equal(new.get(key)[rows], old.get(key)[rows]),
                f"a partial reset changed `{key}` in rows that are not reset",
            )


def _check_clone(subject: Transform, wrapped: Any) -> None:  # noqa: ANN401
    copy = subject.clone()
    _require(copy.container is None, "a clone still belongs to the env of the original")
    state = {name: value.clone() for name, value in copy.state_dict().items()}
    _require(_same(state, subject.state_dict()), "a clone has another state than the original")
    wrapped.step(wrapped.rand_action(wrapped.reset()))
    _require(_same(state, copy.state_dict()), "the original changes the state of its clone")


def _check_state_dict(transform: Transform, subject: Transform, env: Any) -> None:  # noqa: ANN401
    fresh = transform.clone()
    env.with_transform(fresh)
    fresh.load_state_dict(subject.state_dict())
    _require(
        _same(subject.state_dict(), fresh.state_dict()),
        "a fresh transform does not have the state that it loaded",
    )


def _check_batchable(transform: Transform, env: Any, rows: int = 3) -> None:  # noqa: ANN401
    single, batched = transform.clone(), transform.clone()
    single.transform_output_spec(env.output_spec.clone())
    batched.transform_output_spec(env.output_spec.expand(rows))
    roots = [env.reset() for _ in range(rows)]
    alone = [single._reset(None, root.copy()) for root in roots]
    together = batched._reset(None, torch.stack(roots))
    _compare(torch.stack(alone), together, "reset")
    following = []
    for root in roots:
        env.reset(root)
        following.append(env.step(env.rand_action(root))["next"])
    alone_next = [
        single._step(root, after.copy()) for root, after in zip(alone, following, strict=True)
    ]
    together_next = batched._step(torch.stack(alone), torch.stack(following))
    _compare(torch.stack(alone_next), together_next, "step")


def _compare(stacked: TensorDictBase, batched: TensorDictBase, phase: str) -> None:
    keys = set(stacked.keys(True, True)), set(batched.keys(True, True))
    _require(keys[0] == keys[1], f"batched {phase} writes {_names(keys[1] ^ keys[0])} differently")
    for key in keys[0]:
        _require(
            _equal(stacked.get(key), batched.get(key)),
            f"it is declared batchable, and `{key}` of a batched {phase} differs from the stack",
        )


def _equal(first: Any, second: Any) -> bool:  # noqa: ANN401
    if not isinstance(first, Tensor):
        return (
            bool(first == second)
            if not hasattr(first, "tolist")
            else (first.tolist() == second.tolist())
        )
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    if first.is_floating_point():
        return torch.allclose(first, second, equal_nan=True)
    return torch.equal(first, second)


def _same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def _names(keys: set[NestedKey]) -> str:
    return ", ".join(sorted(f"`{key}`" for key in keys))
