"""Datasets by name: `load_dataset("d4rl:hopper-medium-v2")`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from rl.core.errors import NotRegisteredError, nearest
from rl.core.registry import Registry

__all__ = ["DATASETS", "load_dataset", "register_dataset"]

DATASETS = Registry("rl.datasets")
"""Classes of datasets by prefix; other wheels add theirs as entry points of `rl.datasets`."""

_BUILT_IN = {
    "atari": "rl.data.datasets.atari_dqn:AtariDQNExperienceReplay",
    "atari_dqn": "rl.data.datasets.atari_dqn:AtariDQNExperienceReplay",
    "d4rl": "rl.data.datasets.d4rl:D4RLExperienceReplay",
    "gen_dgrl": "rl.data.datasets.gen_dgrl:GenDGRLExperienceReplay",
    "lerobot": "rl.data.datasets.lerobot:LeRobotExperienceReplay",
    "minari": "rl.data.datasets.minari:MinariExperienceReplay",
    "openml": "rl.data.datasets.openml:OpenMLExperienceReplay",
    "openx": "rl.data.datasets.openx:OpenXExperienceReplay",
    "roboset": "rl.data.datasets.roboset:RobosetExperienceReplay",
    "vd4rl": "rl.data.datasets.vd4rl:VD4RLExperienceReplay",
}
for _prefix, _target in _BUILT_IN.items():
    DATASETS.register(_prefix, _target)


def load_dataset(dataset_id: str, **kwargs: Any) -> Any:  # noqa: ANN401 (what the source makes)
    """Return a dataset by a name with the prefix of its source.

    Args:
        dataset_id: `"<prefix>:<name>"`, such as `"minari:mujoco/hopper/expert-v0"`; what follows
            the first colon is the source's own name.
        kwargs: passed to the class of the source.

    Raises:
        ValueError: the name has no prefix.
        NotRegisteredError: no source has the prefix; the message suggests the nearest.

    Example:
        >>> register_dataset("toy", lambda name, **kwargs: (name, kwargs), replace=True)
        >>> load_dataset("toy:a/b-v0", batch_size=3)
        ('a/b-v0', {'batch_size': 3})
    """
    prefix, colon, name = dataset_id.partition(":")
    if not colon or not name:
        raise ValueError(
            f"`{dataset_id}` has no prefix: expected `<source>:<name>` with one of the sources "
            f"{DATASETS.names()}."
        )
    return _resolved(prefix)(name, **kwargs)


def register_dataset(
    prefix: str, dataset: Callable[..., Any] | str, *, replace: bool = False
) -> None:
    """Add a source for `load_dataset`.

    Args:
        prefix: name of the source, without a colon.
        dataset: called as `dataset(name, **kwargs)`; or `"module:attribute"`, which is imported at
            the first use.
        replace: whether a source of the same name may be replaced.

    Raises:
        ValueError: the prefix is taken or ill-formed.

    Example:
        >>> register_dataset("named", "pathlib:PurePosixPath", replace=True)
        >>> load_dataset("named:a/b")
        PurePosixPath('a/b')
    """
    if not prefix or ":" in prefix:
        raise ValueError(f"`{prefix}` is no prefix: expected a name without a colon.")
    if not replace and prefix in DATASETS.names():
        raise ValueError(f"The prefix `{prefix}` is taken. Choose another, or pass `replace=True`.")
    DATASETS.register(prefix, dataset)


def _resolved(prefix: str) -> Callable[..., Any]:
    found = DATASETS.load(prefix)
    if not isinstance(found, str):
        return found
    module, _, attribute = found.partition(":")
    loaded = importlib.import_module(module)
    if not hasattr(loaded, attribute):
        raise NotRegisteredError(
            f"`{found}`, registered for the prefix `{prefix}`, does not exist. "
            f"{nearest(attribute, vars(loaded))}"
        )
    return getattr(loaded, attribute)
