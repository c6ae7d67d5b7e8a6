"""`EnvCreator`: a function that makes an env, with its arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rl.envs.base import EnvBase

__all__ = ["EnvCreator", "env_creator", "make_env"]


class EnvCreator:
    """A function that makes an env, called in whichever process needs one.

    Args:
        create_env_fn: returns an env.
        create_env_kwargs: its keyword arguments.
        kwargs: more of them.

    Example:
        >>> from rl.envs import GymEnv
        >>> EnvCreator(lambda name: GymEnv(name), {"name": "CartPole-v1"})().batch_size
        torch.Size([])
    """

    def __init__(
        self,
        create_env_fn: Callable[..., EnvBase],
        create_env_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.create_env_fn = create_env_fn
        self.create_env_kwargs = {**(create_env_kwargs or {}), **kwargs}

    def __call__(self, **kwargs: Any) -> EnvBase:
        """Make an env; `kwargs` override the stored ones."""
        return self.create_env_fn(**{**self.create_env_kwargs, **kwargs})


def env_creator(fun: Callable[..., EnvBase]) -> EnvCreator:
    """Turn a function that makes an env into an `EnvCreator`.

    Example:
        >>> @env_creator
        ... def make():
        ...     ...
        >>> type(make).__name__
        'EnvCreator'
    """
    return EnvCreator(fun)


def make_env(create_env_fn: Any, create_env_kwargs: dict[str, Any] | None = None) -> Any:  # noqa: ANN401
    """Return an env: `create_env_fn` itself if it is one, else what it makes.

    Raises:
        TypeError: it is neither an env nor callable.
    """
    if hasattr(create_env_fn, "step_and_maybe_reset") and not isinstance(create_env_fn, type):
        return create_env_fn
    if not callable(create_env_fn):
        raise TypeError(
            f"Expected an env or a function that makes one, got "
            f"{type(create_env_fn).__name__}: pass "
            '`lambda: GymEnv("CartPole-v1")` or the env itself.'
        )
    return create_env_fn(**(create_env_kwargs or {}))
