"""The adapter of objects with `state_dict` and `load_state_dict`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import torch

from rl.core.checkpoint.adapter import CheckpointAdapter
from rl.core.checkpoint.container import COMPRESSIONS
from rl.core.checkpoint.options import CheckpointOptions
from rl.core.checkpoint.payload import StateDictFormat, read_payload, write_payload
from rl.core.checkpoint.snapshot import snapshot_of_state
from rl.core.errors import CheckpointError, nearest

__all__ = ["StateDictCheckpointAdapter"]


class StateDictCheckpointAdapter(CheckpointAdapter):
    """Saves what `state_dict` returns, and gives it to `load_state_dict`.

    Loading recognises the format by the files.

    Args:
        payload_format: `"directory"` writes JSON and a safetensors file, `"consolidated"` one
            safetensors file with the JSON in its header, `"archive"` a ZIP file of the two.
            `"torch"`, which is pickle, is refused.
        archive_compression: of `"archive"`: `"stored"` (the default), `"deflate"`, or the level of
            deflate, 0 to 9.

    Raises:
        CheckpointError: a setting is unknown or refused.

    Example:
        >>> import tempfile
        >>> adapter, folder = StateDictCheckpointAdapter("consolidated"), Path(tempfile.mkdtemp())
        >>> adapter.save(torch.nn.Linear(2, 1), folder, args=(), kwargs={})
        >>> [file.name for file in folder.iterdir()]
        ['state.safetensors']
    """

    adapter_id = "rl.state_dict"

    def __init__(
        self,
        payload_format: StateDictFormat = "directory",
        *,
        archive_compression: str | int | None = None,
    ) -> None:
        if payload_format == "torch":
            raise CheckpointError(
                "`payload_format='torch'` is pickle, which runs what it reads: it is neither "
                "written nor read. Use 'directory', 'archive' or 'consolidated'."
            )
        if payload_format not in get_args(StateDictFormat):
            raise CheckpointError(
                f"`payload_format` is {payload_format!r}. "
                f"{nearest(str(payload_format), get_args(StateDictFormat)[:3])}"
            )
        if payload_format != "archive" and archive_compression is not None:
            raise CheckpointError(
                f"`archive_compression` is {archive_compression!r}, and `payload_format` "
                f"{payload_format!r} does not compress: pass `payload_format='archive'`."
            )
        levels = (None, *COMPRESSIONS, *range(10))
        if archive_compression not in levels or isinstance(archive_compression, bool):
            raise CheckpointError(
                f"`archive_compression` is {archive_compression!r}, expected 'stored', 'deflate' "
                "or a level from 0 to 9."
            )
        self.payload_format = payload_format
        self.archive_compression = archive_compression

    def save(
        self,
        component: Any,  # noqa: ANN401
        path: Path,
        *,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> None:
        """Write `component.state_dict(*args, **kwargs)`.

        Raises:
            CheckpointError: names the field that the format cannot hold.
        """
        state = component.state_dict(*args, **kwargs)
        write_payload(path, state, self.payload_format, self.archive_compression)

    def load(
        self,
        component: Any,  # noqa: ANN401
        path: Path,
        *,
        map_location: str | torch.device | None,
        tensor_load_kwargs: Mapping[str, Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> None:
        """Call `component.load_state_dict(state, *args, **kwargs)`.

        Raises:
            CheckpointError: the files are damaged; or `tensor_load_kwargs` are given, which only
                pickled states would take.
        """
        if dict(tensor_load_kwargs) not in ({}, {"weights_only": True}):
            raise CheckpointError(
                f"`tensor_load_kwargs` is {dict(tensor_load_kwargs)!r}: states are no pickles and "
                "`torch.load` does not read them. Leave it out."
            )
        component.load_state_dict(read_payload(path, map_location), *args, **kwargs)

    def snapshot(
        self,
        component: Any,  # noqa: ANN401
        path: Path,
        options: CheckpointOptions,
    ) -> Callable[[], object]:
        """Copy the state in memory."""
        del path
        return snapshot_of_state(component, options)
