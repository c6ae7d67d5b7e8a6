"""The properties of `EnvBase` that follow one pattern per group of specs."""

from __future__ import annotations

from typing import Any

from rl.core import TensorSpec

__all__ = ["full_spec_property", "keys_property", "spec_property", "unbatched_property"]


def spec_property(group: str) -> property:
    """Return `{group}_spec`: the leaf if there is one (observation and state: a Composite)."""

    def read(env: Any) -> TensorSpec:  # noqa: ANN401 (an `EnvBase`)
        spec = env._get_spec(group)
        if group in ("observation", "state"):
            return spec
        leaves = list(spec.keys(True, True))
        return spec[leaves[0]] if len(leaves) == 1 else spec

    def write(env: Any, spec: TensorSpec) -> None:  # noqa: ANN401
        env._set_spec(group, spec)

    return property(read, write, doc=f"The {group} spec.")


def full_spec_property(group: str) -> property:
    """Return `full_{group}_spec`, a Composite always."""

    def read(env: Any) -> TensorSpec:  # noqa: ANN401
        return env._get_spec(group)

    def write(env: Any, spec: TensorSpec) -> None:  # noqa: ANN401
        env._set_spec(group, spec)

    return property(read, write, doc=f"The {group} spec as a Composite.")


def unbatched_property(name: str) -> property:
    """Return `{name}_unbatched`: the spec of one env of the batch."""

    def read(env: Any) -> TensorSpec:  # noqa: ANN401
        spec = getattr(env, name)
        return spec[(0,) * env.ndim] if env.ndim else spec

    return property(read, doc=f"`{name}` of one env of the batch.")


def keys_property(name: str) -> property:
    """Return the list of keys called `name` in the env's plan."""
    return property(lambda env: getattr(env.keys_plan, name), doc=f"The env's {name}.")
