"""The tensors and the extra state of a module by name, whatever wraps it."""

from __future__ import annotations

import torch
from torch import nn

from rl.core.errors import RLError

__all__ = ["WeightsError", "extra_holders", "named_tensors", "plain_name"]

_COMPILED = "_orig_mod"


class WeightsError(RLError, ValueError):
    """Weights do not fit the module: other keys or shapes, damaged, or older than what it has."""


def plain_name(name: str) -> str:
    """Return a name without what `torch.compile` puts into it.

    Example:
        >>> plain_name("_orig_mod.net.0._orig_mod.weight")
        'net.0.weight'
    """
    return ".".join(part for part in name.split(".") if part != _COMPILED)


def named_tensors(module: nn.Module, *, persistent: bool = False) -> dict[str, torch.Tensor]:
    """Return the parameters and buffers of a module, by name; tied ones under each of their names.

    Args:
        module: compiled modules and submodules have the names of what was compiled.
        persistent: leave out the buffers that a `state_dict` leaves out.

    Raises:
        WeightsError: the module is lazy and has not run.

    Example:
        >>> sorted(named_tensors(nn.BatchNorm1d(1)))
        ['bias', 'num_batches_tracked', 'running_mean', 'running_var', 'weight']
    """
    found = dict(module.named_parameters(remove_duplicate=False))
    found |= dict(module.named_buffers(remove_duplicate=False))
    if persistent:
        kept = module.state_dict(keep_vars=True)
        found = {name: tensor for name, tensor in found.items() if name in kept}
    for name, tensor in found.items():
        if nn.parameter.is_lazy(tensor):
            raise WeightsError(
                f"`{plain_name(name)}` is not there yet: the module is lazy. Run it once on data "
                "before its weights are taken or loaded."
            )
    return {plain_name(name): tensor.detach() for name, tensor in found.items()}


def extra_holders(module: nn.Module) -> dict[str, nn.Module]:
    """Return the submodules that have extra state (`get_extra_state`), by its name.

    Example:
        >>> extra_holders(nn.Linear(1, 1))
        {}
    """
    holders = {}
    for name, part in module.named_modules():
        if type(part).get_extra_state is not nn.Module.get_extra_state:
            holders[plain_name(f"{name}._extra_state".lstrip("."))] = part
    return holders
