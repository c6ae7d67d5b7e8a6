"""Drawings of trees, from the labels of their paths."""

from __future__ import annotations

from typing import Any

from rl.core.optional import optional

__all__ = ["draw_boxes", "draw_tree"]

figures = optional("matplotlib.figure", extra="rl-data[plot]")

Path = tuple[int, ...]
#: a figure is no wider than this, in inches
_MAX_WIDTH = 40.0


def draw_tree(labels: dict[Path, str]) -> Any:  # noqa: ANN401
    """Return a figure of nodes and lines, the root on top.

    Args:
        labels: what is written on the node of each path.
    """
    spans = _spans(labels)
    figure, axes = _canvas(spans)
    centre = {path: (left + right) / 2 for path, (left, right) in spans.items()}
    for path, label in labels.items():
        if path:
            above = path[:-1]
            axes.plot([centre[above], centre[path]], [-len(above), -len(path)], color="0.6")
        axes.text(
            centre[path],
            -len(path),
            label,
            ha="center",
            va="center",
            bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": "0.4"},
        )
    axes.set_ylim(-_depth(spans) - 0.5, 0.5)
    return figure


def draw_boxes(labels: dict[Path, str]) -> Any:  # noqa: ANN401
    """Return a figure of boxes below boxes, each as wide as the leaves below it are many.

    Args:
        labels: what is written on the box of each path.
    """
    spans = _spans(labels)
    figure, axes = _canvas(spans)
    for path, label in labels.items():
        left, right = spans[path]
        axes.broken_barh(
            [(left, right - left)], (-len(path) - 1, 1), facecolor="white", edgecolor="0.4"
        )
        axes.text((left + right) / 2, -len(path) - 0.5, label, ha="center", va="center")
    axes.set_ylim(-_depth(spans) - 1, 0)
    return figure


def _spans(labels: dict[Path, str]) -> dict[Path, tuple[float, float]]:
    """Return from where to where the leaves of each path lie, a leaf being 1 wide."""
    inner = {path[:-1] for path in labels if path}
    spans: dict[Path, tuple[float, float]] = {}
    for position, leaf in enumerate(sorted(path for path in labels if path not in inner)):
        for depth in range(len(leaf) + 1):
            left, _ = spans.get(leaf[:depth], (position, 0))
            spans[leaf[:depth]] = (left, position + 1)
    return spans


def _canvas(spans: dict[Path, tuple[float, float]]) -> tuple[Any, Any]:
    width = spans[()][1]
    figure = figures.Figure(figsize=(min(2 + width, _MAX_WIDTH), 2 + _depth(spans)))
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_xlim(0, width)
    return figure, axes


def _depth(spans: dict[Path, tuple[float, float]]) -> int:
    return max(map(len, spans))
