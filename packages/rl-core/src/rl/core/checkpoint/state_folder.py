"""One nested state in a folder: a manifest with the tree, a safetensors file with the tensors."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rl.core.checkpoint.manifest import (
    MANIFEST,
    compare,
    decode_manifest,
    encode_manifest,
    read_bytes,
    sync,
    write_atomic,
)
from rl.core.checkpoint.tree import TreeReader, TreeWriter
from rl.core.errors import CheckpointError

__all__ = ["STATE_FORMAT", "STATE_VERSION", "decode_tree", "read_state", "save_state"]

STATE_FORMAT = "rl.state"
STATE_VERSION = 1


def save_state(path: str | os.PathLike[str], state: object) -> None:
    """Save a nested state in the folder `path`, as safetensors and JSON, atomically.

    The folder holds `manifest.json` (the tree, a format version, hashes) and one
    `tensors-*.safetensors`, which the manifest names. A new state takes effect when its manifest
    replaces the old one, so a kill at any moment leaves the old state or the new one, whole. One
    process at a time may save to a folder.

    Args:
        path: the folder; made when absent, replaced when it holds a state.
        state: dicts (keys of any plain type), lists, tuples, numbers, strings, bytes, `None`,
            tensors, numpy arrays, TensorDicts. Tensors that are one tensor are loaded as one;
            partial overlaps are saved apart. Neither devices nor `requires_grad` are kept.

    Raises:
        CheckpointError: names the field that the format cannot hold, or says that `path` is a file.

    Example:
        >>> import tempfile
        >>> from rl.core import load_state
        >>> folder = tempfile.mkdtemp()
        >>> save_state(folder, {"step": 3, "weight": torch.ones(2)})
        >>> load_state(folder)
        {'step': 3, 'weight': tensor([1., 1.])}
    """
    path = Path(path)
    writer = TreeWriter()
    tree = writer.encode(state)
    if path.exists() and not path.is_dir():
        raise CheckpointError(
            f"`{path}` is a file; a state is saved in a folder. Pass another path."
        )
    path.mkdir(parents=True, exist_ok=True)
    tensors = path / f"tensors-{secrets.token_hex(8)}.safetensors"
    temporary = tensors.with_suffix(".tmp")
    save_file(writer.tensors, temporary)
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    os.replace(temporary, tensors)
    body = {
        "tensors": {
            "file": tensors.name,
            "bytes": tensors.stat().st_size,
            "sha256": digest,
        },
        "state": tree,
    }
    sync(path)
    write_atomic(path / MANIFEST, encode_manifest(STATE_FORMAT, STATE_VERSION, body))
    for stale in path.glob("tensors-*"):
        if stale != tensors:
            stale.unlink(missing_ok=True)


def read_state(path: Path, *, device: str | torch.device | None = None) -> Any:  # noqa: ANN401
    """Return the state that `save_state` wrote to the folder `path`; see `load_state`.

    Raises:
        CheckpointError: a file is missing, truncated, changed, foreign or of a newer format.
    """
    manifest = path / MANIFEST
    _, body = decode_manifest(manifest, read_bytes(manifest), {STATE_FORMAT: STATE_VERSION})
    _require_fields(manifest, body)
    file = path / body["tensors"]["file"]
    if not file.is_file():
        raise CheckpointError(f"`{file}` is missing; `{manifest}` names it in `tensors.file`.")
    compare(file, "tensors.bytes", file.stat().st_size, body["tensors"]["bytes"])
    with open(file, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    compare(file, "tensors.sha256", digest, body["tensors"]["sha256"])
    try:
        tensors = load_file(file)
    except SafetensorError as error:
        raise CheckpointError(f"`{file}` is not a safetensors file: {error}.") from error
    return decode_tree(manifest, body["state"], tensors, device)


def decode_tree(
    path: Path,
    tree: Any,  # noqa: ANN401
    tensors: dict[str, torch.Tensor],
    device: str | torch.device | None = None,
) -> Any:  # noqa: ANN401
    """Return the state of a tree and its tensors.

    Args:
        path: the tree's file, for messages.
        tree: what `TreeWriter.encode` returned.
        tensors: the tensors by name.
        device: where they are put, as they are by default.

    Raises:
        CheckpointError: the tree is ill-formed.
    """
    if device is not None:
        tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
    try:
        return TreeReader(tensors).decode(tree)
    except CheckpointError as error:
        raise CheckpointError(f"`{path}`: {error}") from error
    except (TypeError, ValueError, KeyError, IndexError, RuntimeError) as error:
        raise CheckpointError(f"`{path}`: field `state` is ill-formed ({error}).") from error


def _require_fields(path: Path, body: dict[str, Any]) -> None:
    # only a forged manifest comes here and fails: the hash is right
    if "state" not in body:
        raise CheckpointError(f"`{path}` lacks field `state`: it was not written by `save_state`.")
    tensors = body.get("tensors")
    if not isinstance(tensors, dict) or not {"file", "bytes", "sha256"} <= tensors.keys():
        raise CheckpointError(f"`{path}`: field `tensors` lacks `file`, `bytes` or `sha256`.")
    if Path(str(tensors["file"])).name != tensors["file"]:
        raise CheckpointError(
            f"`{path}`: field `tensors.file` is {tensors['file']!r}, expected a name in its folder."
        )
