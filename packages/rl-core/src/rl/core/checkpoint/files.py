"""Reading what was saved, whether a plain state or a checkpoint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from rl.core.checkpoint.container import FORMAT, VERSION, open_components, read_checkpoint
from rl.core.checkpoint.manifest import MANIFEST, decode_manifest, read_bytes, write_atomic
from rl.core.checkpoint.payload import read_payload
from rl.core.checkpoint.state_folder import STATE_FORMAT, STATE_VERSION, read_state, save_state

__all__ = ["MANIFEST", "load_state", "save_state", "write_atomic"]


def load_state(path: str | os.PathLike[str], *, device: str | torch.device | None = None) -> Any:  # noqa: ANN401
    """Load the state that `save_state` wrote to the folder `path`.

    Of a checkpoint it returns the states of its components by name. Everything is checked before
    anything is returned.

    Args:
        path: the folder; or the file of a checkpoint that is an archive.
        device: where the tensors are put, the CPU by default.

    Raises:
        CheckpointError: a file is missing, truncated, changed, foreign or of a newer format; the
            message names the file and the field.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> save_state(folder, [1, torch.ones(2)])
        >>> load_state(folder)
        [1, tensor([1., 1.])]
    """
    path = Path(path)
    if not path.is_file():
        manifest = path / MANIFEST
        known = {STATE_FORMAT: STATE_VERSION, FORMAT: VERSION}
        kind, _ = decode_manifest(manifest, read_bytes(manifest), known)
        if kind == STATE_FORMAT:
            return read_state(path, device=device)
    body = read_checkpoint(path)
    with open_components(path, body, body["components"]) as folders:
        return {name: read_payload(folder, device) for name, folder in folders.items()}
