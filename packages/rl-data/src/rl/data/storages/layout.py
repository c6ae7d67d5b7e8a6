"""What the columns of a storage hold, as JSON, and the way back."""

from __future__ import annotations

from typing import Any

from tensordict import TensorDict

from rl.data.storages.columns import Columns

__all__ = ["column_names", "layout_of", "nest_columns"]


def column_names(columns: Columns) -> list[Any]:
    """Return the keys of the columns in a saved TensorDict; a bare tensor is called `data`."""
    return [path or "data" for path in columns.structure.paths()]


def layout_of(columns: Columns) -> dict[str, Any]:
    """Return containers, keys, shapes and dtypes of the columns as JSON."""
    described = [
        [list(path), list(tensor.shape[1:]), str(tensor.dtype)]
        for path, tensor in zip(columns.structure.paths(), columns.tensors, strict=True)
    ]
    return {"structure": columns.structure.describe(), "columns": described}


def nest_columns(saved: TensorDict, layout: dict[str, Any]) -> Any:  # noqa: ANN401
    """Rebuild the containers of a layout around saved tensors."""

    def build(node: dict[str, Any] | None, path: tuple[str, ...]) -> Any:  # noqa: ANN401
        if node is None:
            return saved.get(path or "data")
        if "items" in node:
            nested = {key: build(child, (*path, key)) for key, child in node["items"]}
            if node["kind"] == "dict":
                return nested
            return TensorDict(nested, batch_size=[*saved.batch_size, *node["extra"]])
        parts = [build(child, (*path, str(i))) for i, child in enumerate(node["parts"])]
        return tuple(parts) if node["kind"] == "tuple" else parts

    return build(layout["structure"], ())
