"""A node of a search tree."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol

import torch
from tensordict import NestedKey, TensorDictBase
from torch import Tensor

from rl.core.errors import RLError
from rl.data.trees.drawing import draw_boxes, draw_tree

__all__ = ["Subtree", "Tree"]

Path = tuple[int, ...]


class HasCardinality(Protocol):
    """What `Tree.fully_expanded` asks of an env."""

    def cardinality(self, tensordict: TensorDictBase | None = None) -> int:
        """Return the number of actions."""
        ...


class Subtree(Sequence["Tree"]):
    """The children of a node, with their counts as tensors.

    Example:
        >>> children = Subtree([Tree(count=3, wins=1.0), Tree(count=1)])
        >>> children.visits, children.wins, len(children)
        (tensor([3, 1]), tensor([1., 0.]), 2)
    """

    def __init__(self, trees: Iterable[Tree] = ()) -> None:
        self._trees = list(trees)

    def __len__(self) -> int:
        return len(self._trees)

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401
        found = self._trees[index]
        return Subtree(found) if isinstance(index, slice) else found

    def append(self, tree: Tree) -> None:
        """Add a child."""
        self._trees.append(tree)

    @property
    def visits(self) -> Tensor:
        """How often each child was visited, `[n]` int64."""
        return torch.tensor([int(tree.count) for tree in self._trees], dtype=torch.int64)

    @property
    def wins(self) -> Tensor:
        """The sum of rewards of each child, `[n]`."""
        return torch.tensor([float(tree.wins) for tree in self._trees])


class Tree:
    """A node of a search tree: an observation, the steps that led to it, and its children.

    A node may have several parents, where different actions lead to one observation. It is held by
    its parents; the way back up is a weak reference.

    Args:
        count: how often the node was visited.
        wins: the sum of the rewards of these visits.
        index: where the first steps of the children are in the forest's `data_map`, `[n]`.
        hash: of the observation.
        node_id: number of the node in its tree.
        rollout: the steps from the parent's observation to this one, `[T]`.
        node_data: the observation, `[]`.
        specs: of the env.
        action_keys: where a step holds its actions.

    Example:
        >>> from tensordict import TensorDict
        >>> root = Tree.make_node(TensorDict(observation=torch.zeros(1)))
        >>> step = TensorDict(
        ...     observation=torch.zeros(1),
        ...     action=torch.tensor(4),
        ...     next=TensorDict(observation=torch.ones(1)),
        ... )
        >>> child = root.add_child(step)
        >>> child.count += 1
        >>> root.subtree.visits, child.prev_action, list(root.valid_paths())
        (tensor([1]), tensor(4), [(0,)])
    """

    def __init__(  # noqa: PLR0913
        self,
        *,
        count: int = 0,
        wins: float = 0.0,
        index: Tensor | None = None,
        hash: int | None = None,
        node_id: int | None = None,
        rollout: TensorDictBase | None = None,
        node_data: TensorDictBase | None = None,
        specs: Any = None,  # noqa: ANN401
        action_keys: Sequence[NestedKey] = ("action",),
    ) -> None:
        self.count, self.wins = count, wins
        self.index, self.hash, self.node_id = index, hash, node_id
        self.rollout, self.node_data = rollout, node_data
        self.specs = specs
        self.action_keys = tuple(action_keys)
        self.subtree: Subtree | None = None
        self._parents: list[weakref.ref[Tree]] = []

    @classmethod
    def make_node(cls, data: TensorDictBase, *, specs: Any = None) -> Tree:  # noqa: ANN401
        """Return a node without parent and children.

        Args:
            data: its observation, `[]`; what is below `"next"` is left out.
            specs: of the env.
        """
        return cls(node_data=data.exclude("next"), specs=specs, node_id=0)

    # ------------------------------------------------------------- relations

    def adopt(self, child: Tree) -> Tree:
        """Make a node a child of this one, and return it."""
        if self.subtree is None:
            self.subtree = Subtree()
        self.subtree.append(child)
        child._parents.append(weakref.ref(self))
        return child

    def add_child(self, step: TensorDictBase) -> Tree:
        """Add and return a child.

        Args:
            step: the transition from this node's observation, `[]`.
        """
        child = Tree(
            rollout=step.unsqueeze(0),
            node_data=step["next"],
            specs=self.specs,
            action_keys=self.action_keys,
        )
        return self.adopt(child)

    @property
    def parents(self) -> list[Tree]:
        """The parents that are still there."""
        return [parent for ref in self._parents if (parent := ref()) is not None]

    @property
    def parent(self) -> Tree | None:
        """The parent, `None` for a root; the first of several."""
        return next(iter(self.parents), None)

    def is_below(self, other: Tree) -> bool:
        """Return whether `other` is this node or above it."""
        queue, seen = deque([self]), {id(self)}
        while queue:
            tree = queue.popleft()
            if tree is other:
                return True
            fresh = [parent for parent in tree.parents if id(parent) not in seen]
            seen.update(map(id, fresh))
            queue.extend(fresh)
        return False

    @property
    def num_children(self) -> int:
        """The number of children."""
        return 0 if self.subtree is None else len(self.subtree)

    @property
    def is_terminal(self) -> bool:
        """Whether there are no children."""
        return self.num_children == 0

    def fully_expanded(self, env: HasCardinality) -> bool:
        """Return whether there is a child for each action of `env`."""
        return self.num_children == env.cardinality(self.node_data)

    # --------------------------------------------------------------- content

    @property
    def visits(self) -> int:
        """How often the node was visited."""
        return self.count

    @property
    def node_observations(self) -> TensorDictBase | None:
        """The observations of the node."""
        return self.node_data

    @property
    def node_observation(self) -> Any:  # noqa: ANN401
        """The observation of the node: a tensor if there is one, else a TensorDict."""
        return _only(self.node_data)

    @property
    def prev_action(self) -> Any:  # noqa: ANN401
        """The last action before the node, `None` for a root."""
        return self._action(-1)

    @property
    def branching_action(self) -> Any:  # noqa: ANN401
        """The action by which the node left its parent, `None` for a root."""
        return self._action(0) if self._parents else None

    @property
    def selected_actions(self) -> Any:  # noqa: ANN401
        """The actions that lead to the children, `[n, ...]`; `None` without children."""
        if self.subtree is None:
            return None
        return torch.stack([child._action(0) for child in self.subtree])

    def _action(self, position: int) -> Any:  # noqa: ANN401
        if self.rollout is None:
            return None
        return _only(self.rollout[position].select(*self.action_keys))

    # ------------------------------------------------------------- the whole

    def walk(self) -> Iterator[tuple[Path, Tree]]:
        """Yield every path from this node and where it leads, level by level."""
        queue: deque[tuple[Path, Tree]] = deque([((), self)])
        while queue:
            path, tree = queue.popleft()
            yield path, tree
            for number, child in enumerate(tree.subtree or ()):
                queue.append(((*path, number), child))

    def nodes(self) -> Iterator[Tree]:
        """Yield every node once, level by level."""
        queue, seen = deque([self]), {id(self)}
        while queue:
            tree = queue.popleft()
            yield tree
            for child in tree.subtree or ():
                if id(child) not in seen:
                    seen.add(id(child))
                    queue.append(child)

    def vertices(self, *, key_type: Literal["id", "hash", "path"] = "hash") -> dict[Any, Tree]:
        """Return the nodes by their number, by their observation's hash, or by their path.

        By path, a node that several paths lead to is there for each of them.

        Raises:
            ValueError: another `key_type`.
        """
        if key_type == "path":
            return dict(self.walk())
        if key_type not in ("id", "hash"):
            raise ValueError(f"`key_type` is {key_type!r}, expected 'id', 'hash' or 'path'.")
        name = "node_id" if key_type == "id" else "hash"
        return {getattr(tree, name): tree for tree in self.nodes()}

    def num_vertices(self, *, count_repeat: bool = False) -> int:
        """Return the number of nodes; `count_repeat` counts one for each path that leads to it."""
        return sum(1 for _ in (self.walk() if count_repeat else self.nodes()))

    def edges(self) -> list[tuple[int | None, int | None]]:
        """Return the pairs of the numbers of a parent and its child, level by level."""
        return [
            (tree.node_id, child.node_id) for tree in self.nodes() for child in tree.subtree or ()
        ]

    def valid_paths(self) -> Iterator[Path]:
        """Yield the paths to the leaves, as the positions of children from this node on."""
        stack: list[tuple[Path, Tree]] = [((), self)]
        while stack:
            path, tree = stack.pop()
            if tree.is_terminal:
                yield path
            for number in reversed(range(tree.num_children)):
                stack.append(((*path, number), tree.subtree[number]))

    def max_length(self) -> int:
        """Return the number of nodes of the longest path, this node left out."""
        return max(map(len, self.valid_paths()))

    def get_vertex_by_id(self, id: int) -> Tree:
        """Return the node with a number.

        Raises:
            KeyError: there is none.
        """
        return _found(self.vertices(key_type="id"), id, "number")

    def get_vertex_by_hash(self, hash: int) -> Tree:
        """Return the node whose observation has a hash.

        Raises:
            KeyError: there is none.
        """
        return _found(self.vertices(), hash, "hash")

    def rollout_from_path(self, path: Path) -> TensorDictBase | None:
        """Return the steps along a path, `[T]`; `None` where there are none.

        Raises:
            IndexError: the path leaves the tree.
        """
        tree, parts = self, [self.rollout]
        for depth, number in enumerate(path):
            if number >= tree.num_children:
                raise IndexError(
                    f"Path {path} leaves the tree at position {depth}: the node has "
                    f"{tree.num_children} children. `valid_paths()` lists the paths."
                )
            tree = tree.subtree[number]
            parts.append(tree.rollout)
        steps = [part for part in parts if part is not None]
        return torch.cat(steps) if steps else None

    def to_string(self, node_format_fn: Callable[[Tree], str] | None = None) -> str:
        """Return a line for each path: the path and what `node_format_fn` says of its node."""
        write = _describe if node_format_fn is None else node_format_fn
        paths = sorted(self.walk(), key=lambda item: item[0])
        return "\n".join(f"{' ' * len(path)}{path} {write(tree)}" for path, tree in paths)

    def plot(
        self,
        figure: Literal["tree", "box"] = "tree",
        *,
        make_labels: Callable[[Tree], str] | None = None,
    ) -> Any:  # noqa: ANN401
        """Return a matplotlib figure of the tree.

        Args:
            figure: `"tree"` for nodes and lines, `"box"` for boxes as wide as the leaves below.
            make_labels: writes on a node; its count by default.

        Raises:
            ValueError: another `figure`.
            MissingDependencyError: matplotlib is not installed.
        """
        draw = {"tree": draw_tree, "box": draw_boxes}.get(figure)
        if draw is None:
            raise ValueError(f"`figure` is {figure!r}, expected 'tree' or 'box'.")
        label = _count if make_labels is None else make_labels
        return draw({path: label(tree) for path, tree in self.walk()})

    def __repr__(self) -> str:
        return f"Tree(count={self.count}, wins={self.wins}, num_children={self.num_children})"


def _only(data: TensorDictBase | None) -> Any:  # noqa: ANN401
    """Return the only entry; the TensorDict itself if there are several."""
    if data is None:
        return None
    values = list(data.values(True, True))
    return values[0] if len(values) == 1 else data


def _found(nodes: dict[Any, Tree], key: int, name: str) -> Tree:
    if key not in nodes:
        raise KeyError(f"No node of this tree has the {name} {key}; it has {len(nodes)} nodes.")
    return nodes[key]


def _describe(tree: Tree) -> str:
    if tree.node_data is None:
        raise RLError("A node without `node_data` has nothing to print: pass `node_format_fn`.")
    return str(dict(tree.node_data.items(True, True)))


def _count(tree: Tree) -> str:
    return str(tree.count)
