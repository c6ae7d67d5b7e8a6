"""A store of rollouts that share their beginnings, and the trees in it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from tensordict import NestedKey, TensorDictBase
from torch import Tensor

from rl.core.contract.keys import unravel_key
from rl.core.errors import RLError
from rl.data.maps.query import QueryModule
from rl.data.maps.tensordict_map import TensorDictMap
from rl.data.storages.lazy_tensor_storage import LazyTensorStorage
from rl.data.trees.tree import Path, Tree

__all__ = ["MCTSForest"]

_DEFAULT_SIZE = 1000


class HasKeys(Protocol):
    """What `MCTSForest.get_keys_from_env` asks of an env."""

    action_keys: Sequence[NestedKey]
    reward_keys: Sequence[NestedKey]
    done_keys: Sequence[NestedKey]
    observation_keys: Sequence[NestedKey]


class MCTSForest:
    """Stores steps of a deterministic env and gives the tree that follows an observation.

    A step is known by its observation and action: one that is added again replaces the stored one
    and is counted. Its outcome is a node; two steps whose outcomes have equal observations lead to
    the same node, so the trees of games with transpositions stay small. A step back to where a
    path has been is not followed.

    Args:
        data_map: where the steps live, keyed by observations and actions; made for the first steps
            by default.
        max_size: capacity of the map that is made, 1000 by default.
        done_keys: the done flags, `("done", "terminated", "truncated")` by default; kept for those
            who read the stored steps, the forest itself needs them not.
        reward_keys: the rewards, `("reward",)` by default; as `done_keys`.
        observation_keys: the entries that make up an observation, `("observation",)` by default.
        action_keys: the actions, `("action",)` by default.
        excluded_keys: entries that are not stored, at the root and below `"next"`.

    Raises:
        IndexError: more steps are added than `max_size`; nothing is stored.
        KeyError: a tree is asked for that starts with an unknown observation.

    Example:
        >>> from tensordict import TensorDict
        >>> def play(observations, actions):
        ...     obs = torch.tensor(observations).unsqueeze(-1)
        ...     step = {"observation": obs[:-1], "action": torch.tensor(actions)}
        ...     return TensorDict({**step, "next": {"observation": obs[1:]}}, [len(actions)])
        >>> forest = MCTSForest()
        >>> forest.extend(play([0, 1, 2, 3], [5, 5, 5]))
        >>> forest.extend(play([0, 1, 7], [5, 6]))
        >>> tree = forest.get_tree(TensorDict(observation=torch.tensor([0])))
        >>> len(forest), list(tree.valid_paths()), tree.rollout_from_path((0,))["action"]
        (4, [(0,), (1,)], tensor([5, 5, 5]))
    """

    def __init__(
        self,
        *,
        data_map: TensorDictMap | None = None,
        max_size: int | None = None,
        done_keys: Sequence[NestedKey] | None = None,
        reward_keys: Sequence[NestedKey] | None = None,
        observation_keys: Sequence[NestedKey] | None = None,
        action_keys: Sequence[NestedKey] | None = None,
        excluded_keys: Sequence[NestedKey] | None = None,
    ) -> None:
        self.data_map = data_map
        self.max_size = max_size or (_DEFAULT_SIZE if data_map is None else data_map.max_size)
        self.done_keys = _keys(done_keys, ("done", "terminated", "truncated"))
        self.reward_keys = _keys(reward_keys, ("reward",))
        self.observation_keys = _keys(observation_keys, ("observation",))
        self.action_keys = _keys(action_keys, ("action",))
        self.excluded_keys = _keys(excluded_keys, ())
        self._forget()

    def _forget(self) -> None:
        self._nodes: QueryModule | None = None
        # by a node's number, the steps that leave it; by a step's number, its outcome and its count
        self._branches: list[list[int]] = []
        self._outcomes: list[int] = []
        self._counts: list[int] = []

    def get_keys_from_env(self, env: HasKeys) -> None:
        """Take the keys of `env`.

        Raises:
            RLError: steps were stored under other keys.
        """
        if len(self):
            raise RLError("The forest holds steps already: call `get_keys_from_env` before adding.")
        self.action_keys = _keys(env.action_keys, ())
        self.reward_keys = _keys(env.reward_keys, ())
        self.done_keys = _keys(env.done_keys, ())
        self.observation_keys = _keys(env.observation_keys, ())

    def __len__(self) -> int:
        return 0 if self.data_map is None else len(self.data_map)

    # --------------------------------------------------------------- writing

    def extend(self, rollout: TensorDictBase, *, return_node: bool = False) -> Tree | None:
        """Store the steps of a rollout.

        Args:
            rollout: `[*B, T]`, transitions with what follows below `"next"`.
            return_node: whether to return the tree that follows the first observation.
        """
        if not rollout.ndim:
            raise RLError("`extend` takes a rollout, given a single step: use `add`.")
        steps = rollout.reshape(-1)
        next_keys = [("next", *_as_tuple(key)) for key in self.excluded_keys]
        steps = steps.exclude(*self.excluded_keys, *next_keys)
        if self.data_map is None:
            self.data_map = self._make_map()
        self.data_map[steps] = steps
        self._connect(steps)
        return self.get_tree(steps[0]) if return_node else None

    def add(self, step: TensorDictBase, *, return_node: bool = False) -> Tree | None:
        """Store one step, `[]`; see `extend`."""
        return self.extend(step.unsqueeze(0), return_node=return_node)

    def _make_map(self) -> TensorDictMap:
        query = QueryModule([*self.observation_keys, *self.action_keys])
        return TensorDictMap(query_module=query, storage=LazyTensorStorage(self.max_size))

    def _connect(self, steps: TensorDictBase) -> None:
        """Note which nodes the steps join."""
        if self._nodes is None:
            self._nodes = QueryModule(self.observation_keys)
        numbers = self.data_map.index_of(steps).tolist()
        starts = self._number_nodes(steps)
        outcomes = self._number_nodes(steps["next"])
        for number, start, outcome in zip(numbers, starts, outcomes, strict=True):
            if number == len(self._outcomes):
                self._branches[start].append(number)
                self._outcomes.append(outcome)
                self._counts.append(0)
            self._outcomes[number] = outcome
            self._counts[number] += 1

    def _number_nodes(self, observations: TensorDictBase) -> list[int]:
        numbers = self._nodes.hash_to_int(self._nodes.hash(observations)).tolist()
        while len(self._branches) <= max(numbers):
            self._branches.append([])
        return numbers

    # --------------------------------------------------------------- reading

    def get_child(self, root: TensorDictBase) -> TensorDictBase:
        """Return the stored steps that leave an observation, `[n]`.

        Args:
            root: the observation, `[]`.

        Raises:
            KeyError: it is unknown.
        """
        return self._read(self._branches[self._node_of(root)])

    def get_tree(
        self, root: TensorDictBase, *, max_depth: int | None = None, compact: bool = True
    ) -> Tree:
        """Return the tree that follows an observation.

        Args:
            root: the observation, `[]`.
            max_depth: the number of steps after which the tree ends.
            compact: whether steps without alternative are put into one node's `rollout`.

        Raises:
            KeyError: the observation is unknown.
        """
        node = self._node_of(root)
        steps = self._chain(node, max_depth) if compact else []
        tree = self._make_tree(steps) if steps else self._make_root(root)
        tree.index = self._index(self._outcomes[steps[-1]] if steps else node)
        self._grow(
            tree, self._outcomes[steps[-1]] if steps else node, len(steps), max_depth, compact
        )
        for number, vertex in enumerate(tree.nodes()):
            vertex.node_id = number
        return tree

    def valid_paths(self, tree: Tree) -> Iterator[Path]:
        """Yield the paths to the leaves of a tree."""
        return tree.valid_paths()

    def to_string(
        self, td_root: TensorDictBase, node_format_fn: Callable[[Tree], str] | None = None
    ) -> str:
        """Return the tree that follows an observation, as text; see `Tree.to_string`."""
        return self.get_tree(td_root).to_string(node_format_fn)

    def _grow(
        self, root: Tree, node: int, depth: int, max_depth: int | None, compact: bool
    ) -> None:
        """Add to `root`, which is at `node`, everything below it."""
        queue = deque([(root, node, depth)])
        made: dict[Any, Tree] = {}
        while queue:
            parent, node, depth = queue.popleft()
            if max_depth is not None and depth >= max_depth:
                continue
            for first in self._branches[node]:
                # with a limit, the same step has less below it when it is taken later
                key = first if max_depth is None else (first, depth)
                if key in made:
                    if not parent.is_below(made[key]):
                        parent.adopt(made[key])
                    continue
                steps = [first]
                if compact:
                    rest = None if max_depth is None else max_depth - depth - 1
                    steps += self._chain(self._outcomes[first], rest, first)
                made[key] = parent.adopt(self._make_tree(steps))
                queue.append((made[key], self._outcomes[steps[-1]], depth + len(steps)))

    def _chain(self, node: int, limit: int | None, *before: int) -> list[int]:
        """Return the steps from `node` on for as long as there is just one that is new."""
        steps: list[int] = []
        seen = set(before)
        while len(self._branches[node]) == 1 and (limit is None or len(steps) < limit):
            (step,) = self._branches[node]
            if step in seen:
                break
            seen.add(step)
            steps.append(step)
            node = self._outcomes[step]
        return steps

    def _make_root(self, root: TensorDictBase) -> Tree:
        data = root.select(*self.observation_keys)
        return Tree(node_data=data, hash=self._hash(data), action_keys=self.action_keys)

    def _make_tree(self, steps: list[int]) -> Tree:
        rollout = self._read(steps)
        data = rollout["next"][-1].select(*self.observation_keys)
        return Tree(
            count=self._counts[steps[0]],
            index=self._index(self._outcomes[steps[-1]]),
            hash=self._hash(data),
            rollout=rollout,
            node_data=data,
            action_keys=self.action_keys,
        )

    def _index(self, node: int) -> Tensor | None:
        branches = self._branches[node]
        return torch.tensor(branches) if branches else None

    def _hash(self, data: TensorDictBase) -> int:
        return int(self._nodes.hash(data))

    def _read(self, steps: list[int]) -> TensorDictBase:
        return self.data_map.read(torch.tensor(steps, dtype=torch.int64))

    def _node_of(self, root: TensorDictBase) -> int:
        if self._nodes is None:
            raise KeyError("The forest is empty: `extend` it with rollouts first.")
        number = int(self._nodes.hash_to_int(self._nodes.hash(root), extend=False))
        if number < 0:
            raise KeyError(
                "The forest holds no step from or to this observation: pass the first step of a "
                f"rollout that was added; {list(self.observation_keys)} make up an observation."
            )
        return number

    # ---------------------------------------------------------------- saving

    def state_dict(self) -> dict[str, Any]:
        """Return the steps and their counts."""
        if self.data_map is None:
            return {"data_map": None, "counts": []}
        return {"data_map": dict(self.data_map.state_dict()), "counts": list(self._counts)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take what `state_dict` returned."""
        self._forget()
        if state_dict["data_map"] is None:
            if self.data_map is not None:
                self.data_map.clear()
            return
        if self.data_map is None:
            self.data_map = self._make_map()
        self.data_map.load_state_dict(state_dict["data_map"])
        self._connect(self._read(list(range(len(self.data_map)))))
        self._counts = list(state_dict["counts"])


def _keys(given: Sequence[NestedKey] | None, default: tuple[str, ...]) -> tuple[NestedKey, ...]:
    return tuple(map(unravel_key, default if given is None else given))


def _as_tuple(key: NestedKey) -> tuple[str, ...]:
    return (key,) if isinstance(key, str) else key
