"""Checkpoints: several stateful objects saved and restored as one."""

from __future__ import annotations

import copy
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from rl.core.checkpoint.files import load_state, save_state
from rl.core.errors import CheckpointError, nearest

__all__ = ["Checkpoint", "CheckpointRotation", "Stateful"]


@runtime_checkable
class Stateful(Protocol):
    """What a checkpoint saves: modules, optimizers, collectors, buffers, transforms, samplers.

    Example:
        >>> isinstance(torch.nn.Linear(1, 1), Stateful), isinstance({}, Stateful)
        (True, False)
    """

    def state_dict(self) -> Mapping[str, Any]:
        """Return the state, of types that `save_state` holds."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> object:
        """Take on a state that `state_dict` returned."""
        ...


class Checkpoint:
    """Named objects with `state_dict` and `load_state_dict`, saved and restored as one.

    Args:
        **components: the objects by name.

    Raises:
        CheckpointError: a component has no `state_dict` or no `load_state_dict`.

    Example:
        >>> import tempfile
        >>> policy = torch.nn.Linear(2, 1)
        >>> checkpoint = Checkpoint(policy=policy, optim=torch.optim.Adam(policy.parameters()))
        >>> folder = Path(tempfile.mkdtemp()) / "checkpoint"
        >>> checkpoint.save(folder)
        >>> before = policy.weight.clone()
        >>> _ = torch.nn.init.zeros_(policy.weight)
        >>> checkpoint.load(folder)
        >>> bool((policy.weight == before).all())
        True
    """

    def __init__(self, **components: Stateful) -> None:
        for name, component in components.items():
            if not isinstance(component, Stateful):
                raise CheckpointError(
                    f"Component `{name}` is a {type(component).__qualname__}, which has no "
                    "`state_dict` and `load_state_dict`. Give it both, or use `save_state`."
                )
        self.components = dict(components)

    def __repr__(self) -> str:
        return f"Checkpoint({', '.join(self.components)})"

    def state_dict(self) -> dict[str, Any]:
        """Return the components' states by name."""
        return {name: part.state_dict() for name, part in self.components.items()}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], *, components: Iterable[str] | None = None
    ) -> None:
        """Restore every component, or those named; when one refuses, all keep what they had.

        Args:
            state_dict: what `state_dict` returned.
            components: the names to restore; others are left alone.

        Raises:
            CheckpointError: names differ from the saved ones, or a component refuses its state.
        """
        names = self._names_to_load(state_dict, components)
        # `state_dict` refers to live tensors, so what a failure restores must be a copy
        before = {name: copy.deepcopy(self.components[name].state_dict()) for name in names}
        tried: list[str] = []
        try:
            for name in names:
                tried.append(name)
                self.components[name].load_state_dict(state_dict[name])
        except Exception as error:
            for name in tried:
                self.components[name].load_state_dict(before[name])
            raise CheckpointError(
                f"Component `{tried[-1]}` refuses its saved state, nothing was loaded: {error} "
                "Build it as it was built when it was saved."
            ) from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save to the folder `path`, atomically; see `save_state`."""
        save_state(path, self.state_dict())

    def load(
        self,
        path: str | os.PathLike[str],
        *,
        components: Iterable[str] | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        """Restore from the folder `path`: everything, or nothing when an error is raised.

        Args:
            path: the folder that `save` wrote.
            components: the names to restore, all by default.
            device: where tensors are put before components read them.

        Raises:
            CheckpointError: the files are damaged or belong to other components.
        """
        state = load_state(path, device=device)
        if not isinstance(state, dict):
            raise CheckpointError(
                f"`{path}` holds a {type(state).__name__}, expected components by name. "
                "Read it with `load_state`."
            )
        self.load_state_dict(state, components=components)

    def _names_to_load(
        self, state: Mapping[str, Any], components: Iterable[str] | None
    ) -> list[str]:
        names = list(self.components if components is None else components)
        for name in names:
            if name not in self.components:
                raise CheckpointError(
                    f"`{name}` is not a component here. {nearest(name, self.components)}"
                )
            if name not in state:
                raise CheckpointError(
                    f"Component `{name}` is not in the checkpoint. {nearest(name, state)}"
                )
        extra = sorted(set(state) - set(self.components)) if components is None else []
        if extra:
            raise CheckpointError(
                f"The checkpoint holds `{'`, `'.join(extra)}`, which no component here reads. "
                "Pass these components, or name what to load with `components=[...]`."
            )
        return names


class CheckpointRotation:
    """A folder of checkpoints that keeps the newest ones.

    Args:
        directory: holds one `<prefix>-<step>` folder per checkpoint.
        keep_last: how many are kept, at least 1.
        prefix: begins the folders' names.

    Raises:
        CheckpointError: `keep_last` is below 1.

    Example:
        >>> import tempfile
        >>> rotation = CheckpointRotation(tempfile.mkdtemp(), keep_last=2)
        >>> checkpoint = Checkpoint(layer=torch.nn.Linear(1, 1))
        >>> for step in (10, 20, 30):
        ...     _ = rotation.save(checkpoint, step=step)
        >>> [path.name for path in rotation.checkpoints()]
        ['checkpoint-20', 'checkpoint-30']
    """

    def __init__(
        self, directory: str | os.PathLike[str], *, keep_last: int, prefix: str = "checkpoint"
    ) -> None:
        if keep_last < 1:
            raise CheckpointError(f"`keep_last` is {keep_last}, expected at least 1.")
        self.directory = Path(directory)
        self.keep_last = keep_last
        self.prefix = prefix

    def save(self, checkpoint: Checkpoint, *, step: int) -> Path:
        """Save as the checkpoint of `step`, then remove what is not kept. Returns its folder."""
        path = self.directory / f"{self.prefix}-{step}"
        checkpoint.save(path)
        for old in self.checkpoints()[: -self.keep_last]:
            shutil.rmtree(old)
        return path

    def checkpoints(self) -> list[Path]:
        """Return the checkpoints' folders in the order of their steps."""
        pattern = re.compile(rf"{re.escape(self.prefix)}-(\d+)")
        found = []
        for path in self.directory.glob(f"{self.prefix}-*"):
            match = pattern.fullmatch(path.name)
            if match and path.is_dir():
                found.append((int(match[1]), path))
        return [path for _, path in sorted(found)]

    def latest(self) -> Path | None:
        """Return the newest checkpoint's folder, `None` when there is none."""
        return next(reversed(self.checkpoints()), None)

    def load_latest(self, checkpoint: Checkpoint) -> Path:
        """Restore `checkpoint` from the newest folder, and return that folder.

        Raises:
            CheckpointError: there is none, or it is damaged.
        """
        path = self.latest()
        if path is None:
            raise CheckpointError(f"`{self.directory}` holds no `{self.prefix}-<step>` folder yet.")
        checkpoint.load(path)
        return path
