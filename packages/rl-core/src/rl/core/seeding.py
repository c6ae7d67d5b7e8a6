"""Seeds: the chain that gives every worker its own, and the state of the random generators."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from rl.core.errors import CheckpointError

__all__ = ["rng_state", "seed_generator", "set_rng_state", "set_seed_everywhere"]

_MAX_SEED = 2**32 - 1


def seed_generator(seed: int) -> int:
    """Return the seed that follows `seed` in a deterministic chain.

    Args:
        seed: a non-negative integer.

    Returns:
        An integer in `[0, 2**32 - 1)`.

    Example:
        >>> seed_generator(0)
        795726461
    """
    drawn = np.random.default_rng(seed).bytes(8)
    return int.from_bytes(drawn, "big") % _MAX_SEED


def set_seed_everywhere(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch (all devices).

    Args:
        seed: a non-negative integer; numpy takes it modulo 2**32.

    Example:
        >>> set_seed_everywhere(0)
        >>> a = torch.rand(1)
        >>> set_seed_everywhere(0)
        >>> bool(a == torch.rand(1))
        True
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def rng_state() -> dict[str, Any]:
    """Return the state of the global generators of Python, numpy and torch.

    The leaves are tensors, integers, floats, strings and None, so that a checkpoint holds them
    as tensors and JSON; `set_rng_state` continues the three streams bit by bit.

    Example:
        >>> state = rng_state()
        >>> a = torch.rand(2), random.random(), np.random.rand()
        >>> set_rng_state(state)
        >>> bool((a[0] == torch.rand(2)).all()), a[1] == random.random(), a[2] == np.random.rand()
        (True, True, True)
    """
    version, words, gauss = random.getstate()
    name, key, position, has_gauss, cached = np.random.get_state()
    state: dict[str, Any] = {
        "python": {
            "version": version,
            "words": torch.tensor(words, dtype=torch.int64),
            "gauss": gauss,
        },
        "numpy": {
            "name": name,
            "key": torch.from_numpy(key.astype(np.int64)),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "cached_gauss": float(cached),
        },
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_initialized():
        state["cuda"] = {str(i): s for i, s in enumerate(torch.cuda.get_rng_state_all())}
    return state


def set_rng_state(state: dict[str, Any]) -> None:
    """Put the global generators back where `rng_state` found them.

    Args:
        state: what `rng_state` returned; tensors may also come as lists.

    Raises:
        CheckpointError: the state is not complete; the message names the field.
    """
    try:
        python, legacy = state["python"], state["numpy"]
        words = tuple(torch.as_tensor(python["words"]).tolist())
        key = np.asarray(torch.as_tensor(legacy["key"]).numpy(), dtype=np.uint32)
        rest = (legacy["position"], legacy["has_gauss"], legacy["cached_gauss"])
        python_state = (python["version"], words, python["gauss"])
        numpy_state = (legacy["name"], key, *rest)
        torch_state = torch.as_tensor(state["torch"], dtype=torch.uint8).cpu()
    except KeyError as error:
        raise CheckpointError(
            f"The state of the random generators has no {error}: save it with `rng_state()`."
        ) from None
    random.setstate(python_state)
    np.random.set_state(numpy_state)
    torch.set_rng_state(torch_state)
    for index, cuda_state in state.get("cuda", {}).items():
        if torch.cuda.is_available() and int(index) < torch.cuda.device_count():
            torch.cuda.set_rng_state(cuda_state.cpu(), int(index))
