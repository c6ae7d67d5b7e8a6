"""A module mapped over one dimension of its TensorDict."""

from __future__ import annotations

import torch
from tensordict import TensorDictBase
from tensordict.nn import TensorDictModuleBase

__all__ = ["VmapModule"]


class VmapModule(TensorDictModuleBase):
    """Run a module with `torch.vmap` over one batch dimension.

    Args:
        module: a TensorDict module.
        vmap_dim: the dimension; default the last batch dimension.
        mock: call the module on the whole TensorDict instead, to debug it.

    Reads:
        in_keys: what `module` reads.
    Writes:
        out_keys: what `module` writes.

    Example:
        >>> from tensordict import TensorDict
        >>> from tensordict.nn import TensorDictModule
        >>> net = VmapModule(TensorDictModule(torch.nn.Linear(3, 4), ["x"], ["y"]), 0)
        >>> net(TensorDict(x=torch.zeros(5, 3), batch_size=[5]))["y"].shape
        torch.Size([5, 4])
    """

    def __init__(
        self, module: TensorDictModuleBase, vmap_dim: int | None = None, mock: bool = False
    ) -> None:
        super().__init__()
        self.in_keys, self.out_keys = module.in_keys, module.out_keys
        self.module = module
        self.vmap_dim = vmap_dim
        self.mock = mock

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write the module's outputs."""
        if self.mock:
            return self.module(tensordict)
        dim = tensordict.batch_dims - 1 if self.vmap_dim is None else self.vmap_dim
        dim = dim + tensordict.batch_dims if dim < 0 else dim
        inputs = tensordict.select(*self.in_keys)
        out = torch.vmap(self.module, (dim,), (dim,), randomness="different")(inputs)
        return tensordict.update(out.select(*self.out_keys))
