"""Checkpoints: several objects and values saved and restored as one."""

from __future__ import annotations

import copy
import os
import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import torch

from rl.core.checkpoint.adapter import CheckpointAdapter
from rl.core.checkpoint.component_table import (
    ComponentTable,
    as_names,
    give_state,
    snapshot_of,
    state_of,
)
from rl.core.checkpoint.container import (
    COMPRESSIONS,
    FORMAT,
    VERSION,
    CheckpointFormat,
    is_checkpoint,
    open_components,
    read_checkpoint,
    write_archive,
    write_directory,
)
from rl.core.checkpoint.load_result import (
    CheckpointLoadResult,
    CheckpointStrictness,
    compare_versions,
    issues,
    missing,
    refusal,
    skew,
)
from rl.core.checkpoint.metadata import decode_metadata, encode_metadata
from rl.core.checkpoint.options import CheckpointOptions
from rl.core.checkpoint.restoring import restore_components, save_component
from rl.core.checkpoint.undo import Undo
from rl.core.errors import CheckpointError, nearest
from rl.core.logging import warn
from rl.core.provenance import versions

__all__ = ["Checkpoint"]


class Checkpoint:
    """Named components, saved and restored as one.

    A component is an object with `dump` and `load` (or `dumps` and `loads`), which writes its own
    files; or with `state_dict` and `load_state_dict`; or a value that JSON holds. What else there
    is comes with an adapter (`register`). `GlobalRNGState` components are saved and restored last.

    Args:
        format: `"directory"`, or `"archive"` for one ZIP file. Loading recognises it.
        strict: what `load` does about components that are missing or refuse their state: `"error"`
            restores nothing and raises, `"warn"` and `"ignore"` restore the others. Damaged files
            raise at each level.
        archive_compression: `"stored"`, or `"deflate"` to compress.
        save_components: the names that `save` saves by default, all when `None`.
        **components: the components by name.

    Raises:
        CheckpointError: a setting is unknown, or a component of a kind that needs an adapter.

    Example:
        >>> import tempfile
        >>> policy = torch.nn.Linear(2, 1)
        >>> optim = torch.optim.Adam(policy.parameters())
        >>> checkpoint = Checkpoint(policy=policy, optim=optim, config={"lr": 1e-3})
        >>> folder = checkpoint.save(Path(tempfile.mkdtemp()) / "checkpoint")
        >>> before = policy.weight.clone()
        >>> _ = torch.nn.init.zeros_(policy.weight)
        >>> sorted(checkpoint.load(folder).loaded)
        ['config', 'optim', 'policy']
        >>> bool((policy.weight == before).all())
        True
    """

    def __init__(
        self,
        *,
        format: CheckpointFormat = "directory",
        strict: CheckpointStrictness = "error",
        archive_compression: str = "stored",
        save_components: Iterable[str] | None = None,
        **components: Any,
    ) -> None:
        self.format = _one_of("format", format, get_args(CheckpointFormat))
        self.strict = _one_of("strict", strict, get_args(CheckpointStrictness))
        self.archive_compression = _one_of("archive_compression", archive_compression, COMPRESSIONS)
        self.save_components = None if save_components is None else as_names(save_components)
        self._table = ComponentTable()
        for name, component in components.items():
            self.register(name, component)

    def __repr__(self) -> str:
        return f"Checkpoint({', '.join(self._table.components)})"

    @property
    def components(self) -> Mapping[str, Any]:
        """The components by name, for reading."""
        return MappingProxyType(self._table.components)

    def register(
        self,
        name: str,
        component: Any,  # noqa: ANN401
        *,
        adapter: CheckpointAdapter | None = None,
        options: CheckpointOptions | None = None,
    ) -> Checkpoint:
        """Add a component, and return this checkpoint.

        Args:
            name: its name in files.
            component: an object, or a value that JSON holds.
            adapter: what saves and restores it, found by its type when `None`.
            options: arguments for the methods by which it is saved and restored.

        Raises:
            CheckpointError: the name is taken, empty or a path; or there is no adapter.
        """
        self._table.add(name, component, adapter, options)
        return self

    def register_adapter(self, component_type: type, adapter: CheckpointAdapter) -> Checkpoint:
        """Use `adapter` for components of a type and of its subclasses; returns this checkpoint."""
        self._table.by_type[component_type] = adapter
        return self

    def state_dict(self) -> dict[str, Any]:
        """Return the components' states by name; of JSON values, the values."""
        return {
            name: state_of(name, self._table.components[name]) for name in self._table.select(None)
        }

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
        names = self._table.select(components)
        absent = [name for name in names if name not in state_dict]
        if absent:
            raise CheckpointError(missing(absent, state_dict))
        extra = sorted(set(state_dict) - set(self._table.components)) if components is None else []
        if extra:
            raise CheckpointError(
                f"The checkpoint holds `{'`, `'.join(extra)}`, which no component here reads. "
                "Pass these components, or name what to load with `components=[...]`."
            )
        undo = Undo()
        try:
            for name in names:
                component = self._table.components[name]
                undo.note(name, snapshot_of(name, component))
                try:
                    give_state(component, state_dict[name])
                except Exception as error:
                    raise CheckpointError(refusal(name, error)) from error
        except BaseException as error:
            told = undo.run()
            if told:
                error.add_note(told.strip())
            raise

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        components: Iterable[str] | None = None,
        component_options: Mapping[str, CheckpointOptions] | None = None,
        format: CheckpointFormat | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Path:
        """Save to `path`, atomically: a kill leaves the checkpoint that was there, or this one.

        Args:
            path: a folder, or the file of an archive.
            components: the names to save; by default `save_components` of the constructor.
            component_options: options of components for this save.
            format: in place of that of the constructor.
            metadata: what JSON holds, kept in the manifest, such as `{"eval_return": 42.5}`.

        Returns:
            The path.

        Raises:
            CheckpointError: a component cannot be saved, or `path` holds something else.
        """
        target = _local(path)
        names = self._table.select(self.save_components if components is None else components)
        options = self._table.options(component_options)
        kind = _one_of("format", format or self.format, get_args(CheckpointFormat))
        header = {
            "checkpoint_id": secrets.token_hex(16),
            "created_at": datetime.now(UTC).isoformat(),
            "container": kind,
            "metadata": encode_metadata(metadata or {}),
            "versions": versions(),
        }

        def fill(folder: Path) -> dict[str, dict[str, Any]]:
            return {
                name: save_component(self._table, name, folder, index, options[name])
                for index, name in enumerate(names)
            }

        if kind == "archive":
            write_archive(target, fill, header, self.archive_compression)
        else:
            write_directory(target, fill, header)
        return target

    def load(
        self,
        path: str | os.PathLike[str],
        *,
        components: Iterable[str] | None = None,
        component_options: Mapping[str, CheckpointOptions] | None = None,
        map_location: str | torch.device | None = None,
        tensor_load_kwargs: Mapping[str, Any] | None = None,
        strict: CheckpointStrictness | None = None,
    ) -> CheckpointLoadResult:
        """Restore from `path`: everything that is asked for, or nothing when an error is raised.

        Components of the checkpoint that are not asked for are neither read nor checked.

        Args:
            path: what `save` wrote.
            components: the names to restore, all that are registered by default.
            component_options: options of components for this load.
            map_location: where tensors are put before components read them.
            tensor_load_kwargs: passed to adapters of your own; others take none.
            strict: in place of that of the constructor.

        Returns:
            The report.

        Raises:
            CheckpointError: the files are damaged, foreign or newer; or, with `strict="error"`,
                a component is missing or refuses its state. `result` has the report.
        """
        source = _local(path)
        level = _one_of("strict", strict or self.strict, get_args(CheckpointStrictness))
        names = self._table.select(components)
        options = self._table.options(component_options)
        body = read_checkpoint(source)
        result = CheckpointLoadResult(
            missing={name for name in names if name not in body["components"]},
            unrequested=set(body["components"]) - set(names),
            manifest=_shown(body),
            comparison=compare_versions(body["versions"], versions()),
        )
        names = self._loadable(names, body["components"], result, level)
        if result.comparison["version_skew"]:
            warn(skew(source, result))
        with open_components(source, body, names) as folders:
            read = {"map_location": map_location, "tensor_load_kwargs": tensor_load_kwargs or {}}
            restore_components(self._table, folders, options, read, result, level)
        if level == "warn" and (result.missing or result.incompatible):
            warn(f"`{source}` was restored in part. {issues(result)}")
        return result

    @classmethod
    def is_checkpoint(cls, path: str | os.PathLike[str]) -> bool:
        """Tell whether `path` has the whole manifest of a checkpoint."""
        return is_checkpoint(_local(path))

    @classmethod
    def manifest(cls, path: str | os.PathLike[str]) -> dict[str, Any]:
        """Return the manifest, checked, without reading the components.

        Returns:
            `format`, `format_version`, `checkpoint_id`, `created_at`, `container`, `metadata`,
            `versions` and, by name, `components` with their `adapter`, `adapter_version`, `path`
            and `files`, each with its size and SHA-256.

        Raises:
            CheckpointError: there is none, or it is damaged, foreign or newer.
        """
        return _shown(read_checkpoint(_local(path)))

    def _loadable(
        self,
        names: list[str],
        saved: Mapping[str, Any],
        result: CheckpointLoadResult,
        level: CheckpointStrictness,
    ) -> list[str]:
        """Return the names to load; note in `result` those whose files another adapter wrote."""
        for name in names:
            reason = self._table.adapter_of(name).mismatch(saved[name]) if name in saved else None
            if reason is not None:
                result.incompatible[name] = reason
        if level == "error" and (result.missing or result.incompatible):
            raise CheckpointError(f"Nothing was loaded. {issues(result)}", result)
        return [name for name in names if name in saved and name not in result.incompatible]


def _shown(body: Mapping[str, Any]) -> dict[str, Any]:
    shown = {"format": FORMAT, "format_version": VERSION, **copy.deepcopy(dict(body))}
    shown["metadata"] = decode_metadata(body["metadata"])
    folder = shown.pop("folder")
    for entry in shown["components"].values():
        entry["path"] = f"{folder}/{entry['path']}"
    return shown


def _local(path: str | os.PathLike[str]) -> Path:
    if "://" in str(os.fspath(path)):
        raise CheckpointError(f"`{path}` is no path of this machine: mount it, or copy the files.")
    return Path(path).expanduser()


def _one_of(field: str, value: str, known: Iterable[str]) -> Any:  # noqa: ANN401
    if value not in list(known):
        raise CheckpointError(f"`{field}` is {value!r}. {nearest(str(value), known)}")
    return value
