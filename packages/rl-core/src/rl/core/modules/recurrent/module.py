"""What LSTM and GRU modules share: where their state lives, and the two ways to run."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import ClassVar

import torch
from tensordict import TensorDictBase
from tensordict.nn import TensorDictModuleBase, dispatch
from torch import Tensor, nn
from torch.nn.functional import dropout

from rl.core.contract.keys import NestedKey
from rl.core.errors import RLError
from rl.core.modules.recurrent.build import rebuild
from rl.core.modules.recurrent.cells import LayerWeights
from rl.core.modules.recurrent.keys import RecurrentKeys
from rl.core.modules.recurrent.layout import contiguous
from rl.core.modules.recurrent.mode import recurrent_mode
from rl.core.modules.recurrent.primers import make_transform
from rl.core.modules.recurrent.reading import read_inputs
from rl.core.modules.recurrent.running import SequenceRunner
from rl.core.modules.recurrent.unroll import States, layer_weights
from rl.core.specs.composite import Composite
from rl.core.specs.unbounded import Unbounded
from rl.core.transform import Transform

__all__ = ["RecurrentModule"]


class RecurrentModule(TensorDictModuleBase):
    """A recurrent network whose state lives in the TensorDict; `LSTMModule` and `GRUModule` are.

    By default each row is one step: the state is read at the root, emptied where a trajectory
    begins, and the next one is written under "next", from where `step_mdp` brings it to the next
    root. Under `set_recurrent_mode(True)`, as in losses, the last batch dimension is time: a
    sequence goes on from the state stored at its first step, and starts anew, from the state
    stored there, wherever the flag of the first step is true.

    Subclasses say which networks they hold and write one step of them.

    Args:
        net: the network.
        keys: what is read and written.
        runner: how sequences run.
        default_recurrent_mode: whether it takes sequences where no mode is set.

    Example:
        >>> from rl.core.modules import GRUModule
        >>> gru = GRUModule(3, 4, num_layers=2, in_key="observation", out_key="features")
        >>> isinstance(gru, RecurrentModule), gru.state_spec()["recurrent_state"].shape
        (True, torch.Size([2, 4]))
    """

    #: attribute that holds the network
    net_name: ClassVar[str]
    #: default keys of the states
    state_names: ClassVar[tuple[str, ...]]
    #: the framework's network, and ours in plain operations
    fused_class: ClassVar[type[nn.RNNBase]]
    python_class: ClassVar[type[nn.RNNBase]]

    def __init__(
        self,
        net: nn.RNNBase,
        keys: RecurrentKeys,
        runner: SequenceRunner,
        *,
        default_recurrent_mode: bool | None = None,
    ) -> None:
        super().__init__()
        self.keys = keys
        self.in_keys, self.out_keys = keys.read, keys.written
        self._following_keys = keys.written[1:]
        self.runner = runner
        self.default_recurrent_mode = bool(default_recurrent_mode)
        setattr(self, self.net_name, net)

    # ------------------------------------------------------------- settings

    @property
    def net(self) -> nn.RNNBase:
        """The network: `nn.LSTM` or `nn.GRU`, or ours of the same name."""
        # `nn.Module` finds its modules as the last of all attributes
        return self._modules[self.net_name]

    @property
    def python_based(self) -> bool:
        """Whether the network runs in plain tensor operations."""
        return isinstance(self.net, self.python_class)

    @property
    def recurrent_mode(self) -> bool:
        """Whether a call takes sequences now."""
        mode = recurrent_mode()
        return self.default_recurrent_mode if mode is None else mode

    @property
    def init_key(self) -> NestedKey:
        """The flag of the first step of a trajectory."""
        return self.keys.init

    def make_python_based(self) -> RecurrentModule:
        """Run in plain tensor operations from now on, with the same parameters."""
        setattr(self, self.net_name, rebuild(self.net, self.python_class))
        return self

    def make_cudnn_based(self) -> RecurrentModule:
        """Run the framework's fused kernels from now on, with the same parameters."""
        setattr(self, self.net_name, rebuild(self.net, self.fused_class))
        self.net.flatten_parameters()
        return self

    # ---------------------------------------------------------------- state

    def state_shapes(self) -> list[torch.Size]:
        """Return the shape of each state of one env, [N, H]."""
        net = self.net
        layers = net.num_layers * (2 if net.bidirectional else 1)
        sizes = [net.proj_size or net.hidden_size, net.hidden_size]
        return [torch.Size((layers, size)) for size in sizes[: len(self.state_names)]]

    def state_spec(self) -> Composite:
        """Return the specs of the states of one env, by the keys under which they are read."""
        weight = self.net.weight_ih_l0
        spec = Composite()
        for key, shape in zip(self.keys.states, self.state_shapes(), strict=True):
            spec[key] = Unbounded(shape, device=weight.device, dtype=weight.dtype)
        return spec

    def initial_state(self, batch_size: Iterable[int] = ()) -> TensorDictBase:
        """Return an empty memory: zero states, [*B, N, H] each, as a TensorDict.

        Args:
            batch_size: *B.
        """
        return self.state_spec().expand(*batch_size).zero()

    def make_tensordict_primer(self) -> Transform:
        """Return the transform that writes zero states at reset, with the batch size of its env.

        Raises:
            MissingDependencyError: rl-envs, where the transform is, is not installed.
        """
        # where the env delivers data is the env's affair: the transform follows it
        spec = self.state_spec().to("cpu")
        return make_transform("TensorDictPrimer", spec, expand_specs=True)

    @property
    def canonical_keys(self) -> list[NestedKey]:
        """The keys of what the kernels read."""
        return self.keys.read

    def canonicalize(self, data: TensorDictBase, *, inplace: bool = False) -> TensorDictBase:
        """Return `data` with what the kernels read laid out without gaps.

        Args:
            data: any TensorDict.
            inplace: change `data` itself.
        """
        return contiguous(data, self.keys.read, inplace=inplace)

    # ---------------------------------------------------------------- calls

    def forward(
        self,
        tensordict: TensorDictBase | None = None,
        *args: Tensor,
        tensordict_out: TensorDictBase | None = None,
        **kwargs: Tensor,
    ) -> TensorDictBase:
        """Write output and next state; with tensors instead of a TensorDict, return them.

        Raises:
            RLError: `torch.vmap` over a network that is not Python-based, or a single step of a
                bidirectional one.
        """
        if args or kwargs or not isinstance(tensordict, TensorDictBase):
            tensors = args if tensordict is None else (tensordict, *args)
            return self._call_with_tensors(*tensors, **kwargs)
        target = tensordict if tensordict_out is None else tensordict_out
        try:
            out, following = self._run(tensordict, target)
        except RuntimeError as error:
            if "atching rule" in str(error):
                raise RLError(
                    f"`torch.vmap` cannot go through the kernels of `{type(self).__name__}`: call "
                    "`module.make_python_based()` first."
                ) from error
            raise
        target.set(self.keys.out, out)
        for key, value in zip(self._following_keys, following, strict=True):
            target.set(key, value)
        return target

    def _run(self, td: TensorDictBase, target: TensorDictBase) -> tuple[Tensor, States]:
        """Return output and next states; the rest of `target` stays, but for emptied states."""
        if self.recurrent_mode:
            x, states, flags = read_inputs(self, td, sequences=True)
            stored = tuple(target.get(key, None) for key in self._following_keys)
            return self.runner.run(self.net, x, states, flags, stored)
        x, states, flags = read_inputs(self, td, sequences=False)
        return self._step(x, self._begun(target, states, flags))

    @dispatch(auto_batch_size=False)
    def _call_with_tensors(self, tensordict: TensorDictBase) -> TensorDictBase:
        return self.forward(tensordict)

    def _begun(self, target: TensorDictBase, states: States, flags: Tensor) -> States:
        """Return the states that the step starts from: empty ones where a trajectory begins.

        They are written where they were read, so that what is stored is what was used, and
        sequences start from it.
        """
        mask = flags.unsqueeze(-1).unsqueeze(-1)
        begun = tuple(s.masked_fill(mask, 0.0) for s in states)
        for key, state in zip(self.keys.states, begun, strict=True):
            target.set(key, state)
        return begun

    def _step(self, x: Tensor, states: States) -> tuple[Tensor, States]:
        """Advance each row by one step."""
        net, batch = self.net, x.shape[:-1]
        if net.bidirectional:
            raise RLError(
                f"`{type(self).__name__}(bidirectional=True)` cannot take single steps: its output "
                "depends on later ones. Call it on sequences, under `set_recurrent_mode(True)`, or "
                "build it with `bidirectional=False`."
            )
        x = x.reshape(-1, x.shape[-1])
        columns = [s.reshape(-1, *s.shape[-2:]).unbind(1) for s in states]
        following = []
        for layer, state in enumerate(zip(*columns, strict=True)):
            if layer and net.dropout and net.training:
                x = dropout(x, net.dropout, training=True)
            state = self._advance(x, state, layer_weights(net, layer))
            x = state[0]
            following.append(state)
        shapes = [s.shape for s in states]
        if len(following) == 1:
            stacked = following[0]
        else:
            stacked = [torch.stack(column, 1) for column in zip(*following, strict=True)]
        following = tuple(s.view(shape) for s, shape in zip(stacked, shapes, strict=True))
        return x.view(*batch, x.shape[-1]), following

    @abstractmethod
    def _advance(self, x: Tensor, state: States, weights: LayerWeights) -> States:
        """Return the state of one layer after the step with the input `x` [B, F]."""
