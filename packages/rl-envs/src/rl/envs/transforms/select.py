"""SelectTransform and ExcludeTransform: fewer entries outside of the env than inside."""

from __future__ import annotations

from collections.abc import Iterable

from tensordict import TensorDictBase

from rl.core.contract.keys import NestedKey, as_key_list
from rl.core.errors import SpecError
from rl.core.specs import Composite
from rl.core.transform import Transform

__all__ = ["ExcludeTransform", "SelectTransform"]

GROUPS = ("observation", "reward", "done")


class ExcludeTransform(Transform):
    """Drop entries on the way out (or, with `inverse`, on the way in only).

    Args:
        excluded_keys: entries to drop, leaves or whole groups; those that are not there are passed
            over.
        inverse: drop them from what goes in, such as on writing into a buffer.

    Raises:
        SpecError: a done flag is to be dropped from an env.

    Example:
        >>> from tensordict import TensorDict
        >>> sorted(ExcludeTransform("a")(TensorDict({"a": 1, "b": 2})).keys())
        ['b']
    """

    batchable = True

    def __init__(self, *excluded_keys: NestedKey, inverse: bool = False) -> None:
        super().__init__()
        self.excluded_keys = as_key_list(list(excluded_keys))
        self.inverse = inverse

    def _call(self, next_tensordict: TensorDictBase) -> TensorDictBase:
        return next_tensordict if self.inverse else _drop(next_tensordict, self.excluded_keys)

    def _inv_call(self, tensordict: TensorDictBase) -> TensorDictBase:
        return _drop(tensordict, self.excluded_keys) if self.inverse else tensordict

    @property
    def has_inverse(self) -> bool:
        """Whether entries are dropped on the way in."""
        return self.inverse

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Return the specs without the entries."""
        if self.inverse:
            return output_spec
        for group in GROUPS:
            name = f"full_{group}_spec"
            part = output_spec[name]
            gone = [key for key in part.keys(True, True) if _covered(key, self.excluded_keys)]
            if group == "done" and gone:
                raise SpecError(
                    f"`ExcludeTransform` would drop the done flag `{gone[0]}`, which the env "
                    "needs: leave it in."
                )
            for key in self.excluded_keys:
                if key in part.keys(True):
                    del part[key]
            output_spec[name] = part
        return output_spec


class SelectTransform(Transform):
    """Keep only some entries of what the env gives.

    Args:
        selected_keys: entries to keep, leaves or whole groups.
        keep_rewards: keep every reward as well.
        keep_dones: keep every done flag as well.

    Raises:
        SpecError: a done flag would be dropped from an env.

    Example:
        >>> from tensordict import TensorDict
        >>> sorted(SelectTransform("a")(TensorDict({"a": 1, "b": 2})).keys())
        ['a']
    """

    batchable = True

    def __init__(
        self, *selected_keys: NestedKey, keep_rewards: bool = True, keep_dones: bool = True
    ) -> None:
        super().__init__()
        self.selected_keys = as_key_list(list(selected_keys))
        self.keep_rewards = keep_rewards
        self.keep_dones = keep_dones
        self._dropped: list[NestedKey] | None = None

    def _call(self, next_tensordict: TensorDictBase) -> TensorDictBase:
        if self._dropped is None:
            return self.forward(next_tensordict)
        return _drop(next_tensordict, self._dropped)

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Return the TensorDict with the selected entries only."""
        return tensordict.select(*self.selected_keys, strict=False)

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Return the specs of the entries that are kept."""
        keep = {"observation": False, "reward": self.keep_rewards, "done": self.keep_dones}
        kept, gone = [], []
        for group in GROUPS:
            for key in output_spec[f"full_{group}_spec"].keys(True, True):
                stays = keep[group] or _covered(key, self.selected_keys)
                (kept if stays else gone).append(key)
                if group == "done" and not stays:
                    raise SpecError(
                        f"`SelectTransform` would drop the done flag `{key}`, which the env needs: "
                        "select it, or leave `keep_dones=True`."
                    )
        self._dropped = _largest(gone, kept)
        for group in GROUPS:
            name = f"full_{group}_spec"
            part = output_spec[name]
            inside = [key for key in part.keys(True, True) if key in kept]
            for key in _largest([key for key in part.keys(True, True) if key in gone], inside):
                del part[key]
            output_spec[name] = part
        return output_spec


def _largest(gone: list[NestedKey], kept: list[NestedKey]) -> list[NestedKey]:
    """Return the keys to drop, whole groups where nothing of them is kept."""
    paths = {_path(key)[:length] for key in kept for length in range(1, len(_path(key)) + 1)}
    result = []
    for key in map(_path, gone):
        depth = next(n for n in range(1, len(key) + 1) if key[:n] not in paths)
        drop = key[0] if depth == 1 else key[:depth]
        if drop not in result:
            result.append(drop)
    return result


def _path(key: NestedKey) -> tuple[str, ...]:
    return (key,) if isinstance(key, str) else key


def _covered(key: NestedKey, keys: Iterable[NestedKey]) -> bool:
    path = _path(key)
    chosen = {_path(other) for other in keys}
    return any(path[:length] in chosen for length in range(1, len(path) + 1))


def _drop(tensordict: TensorDictBase, keys: list[NestedKey]) -> TensorDictBase:
    for key in keys:
        tensordict.pop(key, None)
    return tensordict
