"""From entries of a TensorDict to the numbers of rows in a storage."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from tensordict import NestedKey, TensorDictBase
from tensordict.nn import TensorDictModuleBase
from torch import Tensor, nn

from rl.core.contract.keys import unravel_key
from rl.core.errors import MissingKeyError, nearest
from rl.data.maps.hash_to_int import HashToInt
from rl.data.maps.sip_hash import SipHash

__all__ = ["QueryModule"]

HashModule = Callable[[Tensor], Tensor]


class QueryModule(TensorDictModuleBase):
    """Writes for each row the number under which a storage keeps what belongs to the entries.

    Each entry is hashed; the hashes of several entries are hashed once more, together. Equal
    entries get equal numbers; numbers are given in the order of first appearance.

    Args:
        in_keys: the entries that count.
        index_key: where the numbers go.
        hash_key: where the hashes go.
        hash_module: hashes an entry `[n, features]`; one for all, or one for each entry. A
            `SipHash` by default.
        hash_to_int: numbers the hashes; a new `HashToInt` by default.
        aggregator: hashes the entries' hashes, `[n, entries]`. The one `hash_module` if one was
            given, else a `SipHash`.
        clone: whether a copy of the input is written and returned.

    Reads:
        the entries of `in_keys`: [*B, ...] any dtype.
    Writes:
        _index: [*B] int64.
        _hash: [*B] int64.

    Raises:
        ValueError: `in_keys` is empty, or there are not as many hash modules.
        MissingKeyError: at call, an entry is not there.

    Example:
        >>> from tensordict import TensorDict
        >>> query = QueryModule(in_keys=["a", "b"], index_key="index")
        >>> a, b = torch.tensor([[1], [1], [1], [2]]), torch.tensor([[3], [3], [2], [3]])
        >>> query(TensorDict({"a": a, "b": b}, [4]))["index"]
        tensor([0, 0, 1, 2])
    """

    def __init__(
        self,
        in_keys: Sequence[NestedKey],
        index_key: NestedKey = "_index",
        hash_key: NestedKey = "_hash",
        *,
        hash_module: HashModule | Sequence[HashModule] | None = None,
        hash_to_int: Callable[..., Tensor] | None = None,
        aggregator: HashModule | None = None,
        clone: bool = False,
    ) -> None:
        super().__init__()
        self.in_keys = [unravel_key(key) for key in in_keys]
        if not self.in_keys:
            raise ValueError("`in_keys` is empty: name the entries that make up the key.")
        self.index_key, self.hash_key = unravel_key(index_key), unravel_key(hash_key)
        self.out_keys = [self.index_key, self.hash_key]
        several = isinstance(hash_module, Sequence)
        one = None if several else hash_module
        self.aggregator = aggregator or one or SipHash()
        modules = list(hash_module) if several else [one or SipHash()] * len(self.in_keys)
        if len(modules) != len(self.in_keys):
            raise ValueError(
                f"`hash_module` has {len(modules)} modules for {len(self.in_keys)} `in_keys`: give "
                "one for each, or a single one."
            )
        self.hash_modules = _registered(modules)
        self.hash_to_int = HashToInt() if hash_to_int is None else hash_to_int
        self.clone = clone

    def forward(
        self,
        tensordict: TensorDictBase,
        *,
        extend: bool = True,
        write_hash: bool = True,
        clone: bool | None = None,
    ) -> TensorDictBase:
        """Write numbers and hashes.

        Args:
            tensordict: `[*B]`, with the entries of `in_keys`.
            extend: whether new rows get a number; without, theirs is -1.
            write_hash: whether the hashes are written too.
            clone: see the constructor.
        """
        hashes = self.hash(tensordict)
        out = tensordict.copy() if (self.clone if clone is None else clone) else tensordict
        if write_hash:
            out.set(self.hash_key, hashes)
        return out.set(self.index_key, self.hash_to_int(hashes, extend=extend))

    def hash(self, tensordict: TensorDictBase) -> Tensor:
        """Return the hash of each row, `[*B]` int64."""
        batch = tensordict.batch_size
        parts = []
        for key, module in zip(self.in_keys, self.hash_modules, strict=True):
            value = tensordict.get(key, None)
            if value is None:
                raise self._missing(key, tensordict)
            features = value.shape[len(batch) :].numel()
            parts.append(module(value.reshape(batch.numel(), features)))
        hashes = parts[0] if len(parts) == 1 else self.aggregator(torch.stack(parts, -1))
        return hashes.reshape(batch)

    def _missing(self, key: NestedKey, tensordict: TensorDictBase) -> MissingKeyError:
        present = sorted(map(str, tensordict.keys(True, True)))
        return MissingKeyError(
            f"`QueryModule` found no {key!r} in {present}. {nearest(str(key), present)}"
        )


def _registered(modules: list[HashModule]) -> nn.ModuleList | list[HashModule]:
    """Return the modules so that their state is saved; plain functions have none."""
    return nn.ModuleList(modules) if all(isinstance(m, nn.Module) for m in modules) else modules
