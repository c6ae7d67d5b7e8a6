"""`Collector`: the one name for collecting, whichever backend does the work."""

from __future__ import annotations

from typing import Any

from tensordict import TensorDictBase

from rl.core.errors import MissingDependencyError, NotRegisteredError
from rl.core.registry import Registry
from rl.envs.collectors.base import BaseCollector
from rl.envs.collectors.single import SingleCollector

__all__ = ["Collector"]

BACKENDS = Registry("rl.collectors")

#: what to install for the backends of our other wheels
WHEELS = {"ray": "rl-distributed[ray]"}


class Collector(BaseCollector):
    """Collects batches of `frames_per_batch` transitions.

    Args:
        create_env_fn: an env, or a function that makes one.
        policy: what acts; random actions if None.
        backend: "single", this process, by default; another name is looked up among the installed
            collectors (entry points `rl.collectors`): `"ray"` comes with `pip install
            "rl-distributed[ray]"`.
        backend_options: further arguments of that collector.
        kwargs: the arguments of `SingleCollector`, which the other backends share.

    Raises:
        NotRegisteredError: the backend is unknown.
        MissingDependencyError: the wheel that provides it is not installed.

    Example:
        >>> from rl.envs import GymEnv
        >>> for batch in Collector(GymEnv("CartPole-v1"), frames_per_batch=50, total_frames=100):
        ...     batch.shape
        torch.Size([50])
        torch.Size([50])
    """

    def __init__(
        self,
        create_env_fn: Any,  # noqa: ANN401 (an env, a function, or a list of them)
        policy: Any = None,  # noqa: ANN401
        *,
        backend: str = "single",
        backend_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        kind = SingleCollector if backend == "single" else _load(backend)
        self.engine: BaseCollector = kind(
            create_env_fn, policy, **kwargs, **(backend_options or {})
        )
        self.frames_per_batch = self.engine.frames_per_batch
        self.total_frames = self.engine.total_frames

    @property
    def is_exhausted(self) -> bool:
        """Whether `total_frames` are collected."""
        return self.engine.is_exhausted

    def next(self) -> TensorDictBase | None:
        """Collect one batch."""
        return self.engine.next()

    def update_policy_weights_(self, policy_or_weights: Any = None, **kwargs: Any) -> None:  # noqa: ANN401
        """Bring the collecting policy up to date with the trained one."""
        self.engine.update_policy_weights_(policy_or_weights, **kwargs)

    def set_seed(self, seed: int, static_seed: bool = False) -> int:
        """Seed the envs and return the next seed of the chain."""
        return self.engine.set_seed(seed, static_seed)

    def state_dict(self) -> dict[str, Any]:
        """Return what resumes the collection exactly."""
        return self.engine.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume from a `state_dict`."""
        self.engine.load_state_dict(state_dict)

    def shutdown(self) -> None:
        """Close the envs and end the workers."""
        self.engine.shutdown()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (what the engine has: env, policy, frames, ...)
        if name.startswith("__") or name == "engine":
            raise AttributeError(name)
        return getattr(self.engine, name)


def _load(backend: str) -> type[BaseCollector]:
    try:
        return BACKENDS.load(backend)
    except NotRegisteredError as error:
        if backend not in WHEELS:
            raise
        raise MissingDependencyError(
            f'`Collector(backend="{backend}")` needs another wheel: '
            f'`pip install "{WHEELS[backend]}"`.'
        ) from error
