"""LSTM over TensorDicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from rl.core.contract.keys import NestedKey
from rl.core.modules.recurrent.build import network_of
from rl.core.modules.recurrent.cells import LayerWeights, lstm_step
from rl.core.modules.recurrent.keys import resolve_keys
from rl.core.modules.recurrent.module import RecurrentModule
from rl.core.modules.recurrent.networks import LSTM
from rl.core.modules.recurrent.running import SequenceRunner, check_precision
from rl.core.modules.recurrent.unroll import States

__all__ = ["LSTMModule"]


class LSTMModule(RecurrentModule):
    """An LSTM whose state lives in the TensorDict (Hochreiter and Schmidhuber 1997).

    By default each row is one step, as in an env. Under `set_recurrent_mode(True)`, as in losses,
    the last batch dimension is time: sequences are cut where `is_init` is true and the segments go
    through `nn.LSTM`'s fused kernel. Both give the same numbers.

    A step empties the state where `is_init` is true, and stores what it started from; a segment
    starts from what is stored at its first step. Collectors and `env.rollout` give an env that
    lacks the state and the flag the transforms that write them (`get_env_transforms_from_module`).

    Args:
        input_size: F, size of the input.
        hidden_size: H, size of the state.
        num_layers: N, layers on top of each other.
        bias: whether the gates have biases.
        batch_first: layout of the network itself; data is [*B, T, F] in any case.
        dropout: probability of dropout between layers, in training.
        proj_size: P, size of the output, if it is a projection of the state.
        bidirectional: both directions of time, for sequences only; N becomes twice `num_layers`.
        python_based: plain tensor operations instead of kernels, for `torch.vmap` and
            `torch.compile`; see `make_python_based`.
        recurrent_backend: "pad" (or "auto") runs sequences in the kernel, "scan" step by step, as a
            Python-based network does in any case.
        recurrent_compute_dtype: dtype in which sequences are computed; by default that of the
            weights.
        recurrent_recompute: "full" computes sequences again in the backward pass, to save memory.
        recurrent_matmul_precision: "auto"; the others belong to a backend that is not here.
        in_key: the input; the other keys have their default names.
        in_keys: input, h, c and, optionally, the flag.
        out_key: the output.
        out_keys: output and next states, which lie under "next".
        device: device of the weights.
        lstm: a network to use instead of a new one.
        default_recurrent_mode: whether it takes sequences where no mode is set.

    Reads:
        in_key: [*B, F].
        recurrent_state_h: [*B, N, H], or [*B, N, P].
        recurrent_state_c: [*B, N, H].
        is_init: [*B, 1] bool, the first step of a trajectory.
    Writes:
        out_key: [*B, H], or [*B, P].
        ("next", "recurrent_state_h"): [*B, N, H]. For sequences in the kernel, the state at the
            end of each segment; elsewhere what was there, or NaN.
        ("next", "recurrent_state_c"): [*B, N, H], likewise.

    Raises:
        RLError: keys, network or settings contradict each other; a bidirectional network is asked
            for a single step.
        MissingKeyError: at call, the input or the flag is absent, or the state is where a
            trajectory goes on.
        ShapeError: at call, an entry has another shape.
        SpecError: at call, the flag is not bool.

    Example:
        >>> from tensordict import TensorDict
        >>> lstm = LSTMModule(3, 4, in_key="observation", out_key="features")
        >>> first = torch.ones(5, 1, dtype=torch.bool)
        >>> td = lstm(TensorDict(observation=torch.zeros(5, 3), is_init=first, batch_size=[5]))
        >>> td["features"].shape, td["next", "recurrent_state_h"].shape
        (torch.Size([5, 4]), torch.Size([5, 1, 4]))
    """

    net_name: ClassVar[str] = "lstm"
    state_names: ClassVar[tuple[str, ...]] = ("recurrent_state_h", "recurrent_state_c")
    fused_class: ClassVar[type[nn.RNNBase]] = nn.LSTM
    python_class: ClassVar[type[nn.RNNBase]] = LSTM

    def __init__(  # noqa: PLR0913 - the arguments that TorchRL users pass
        self,
        input_size: int | None = None,
        hidden_size: int | None = None,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = True,
        dropout: float = 0.0,
        proj_size: int = 0,
        bidirectional: bool = False,
        python_based: bool = False,
        recurrent_backend: str = "auto",
        recurrent_compute_dtype: torch.dtype | None = None,
        recurrent_recompute: str = "none",
        recurrent_matmul_precision: str = "auto",
        *,
        in_key: NestedKey | None = None,
        in_keys: Sequence[NestedKey] | None = None,
        out_key: NestedKey | None = None,
        out_keys: Sequence[NestedKey] | None = None,
        device: torch.device | str | int | None = None,
        lstm: nn.LSTM | None = None,
        default_recurrent_mode: bool | None = None,
    ) -> None:
        settings = {
            "input_size": input_size,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "bias": bias,
            "batch_first": batch_first,
            "dropout": dropout,
            "proj_size": proj_size,
            "bidirectional": bidirectional,
        }
        check_precision(recurrent_matmul_precision)
        kind = self.python_class if python_based else self.fused_class
        super().__init__(
            network_of(kind, lstm, settings, device, python_based=python_based),
            resolve_keys("LSTMModule", self.state_names, in_key, in_keys, out_key, out_keys),
            SequenceRunner(recurrent_backend, recurrent_compute_dtype, recurrent_recompute),
            default_recurrent_mode=default_recurrent_mode,
        )

    def _advance(self, x: Tensor, state: States, weights: LayerWeights) -> States:
        if self.python_based or weights.w_hr is not None:
            return lstm_step(weights.inputs(x), *state, weights)
        return torch.lstm_cell(x, state, *weights[:4])
