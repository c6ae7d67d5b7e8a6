"""Roll-outs of recurrent state-space models over recorded sequences."""

from __future__ import annotations

import torch
from tensordict import TensorDictBase
from tensordict.nn import TensorDictModule, TensorDictModuleBase
from torch import Tensor

from rl.core.contract.keys import NestedKey, unravel_key
from rl.core.errors import MissingKeyError, RLError, ShapeError
from rl.core.modules.world_models.rssm_sequence import (
    Values,
    call_tensordict,
    call_tensors,
    sequence_keys,
    unroll,
)

__all__ = ["RSSMRollout", "RSSMRolloutV3"]


class RSSMRollout(TensorDictModuleBase):
    """Run prior, then posterior at each time; the posterior's state enters the next prior.

    Hafner et al. 2019, section 3; Hafner et al. 2020, algorithm 1. What the step writes below
    `"next"` under the name of a prior's input becomes that input of the next time. It equals a loop
    over the times, and does not know where episodes start: `RSSMRolloutV3` does.

    Args:
        rssm_prior: a TensorDict module around `RSSMPrior`.
        rssm_posterior: a TensorDict module around `RSSMPosterior`.
        use_scan: call the networks on tensors, without a TensorDict at each time: less work, and
            what `torch.compile` of the whole module prefers. Both must be `TensorDictModule`s.
        compile_step: compile the step of one time.
        compile_backend: as in `torch.compile`.
        compile_mode: as in `torch.compile`.

    Reads:
        state: `[*B, T, S]`, of which the first time counts.
        belief: `[*B, T, H]`, of which the first time counts.
        action: `[*B, T, A]`.
        ("next", "encoded_latents"): `[*B, T, E]`, or what else the two modules read.
    Writes:
        state: `[*B, T, S]`, what the prior read.
        belief: `[*B, T, H]`, what the prior read.
        ("next", ...): `[*B, T, ...]`, what the two modules write.

    The result is a new TensorDict with the other entries of the input; the input is left as it was.

    Raises:
        RLError: the modules do not feed themselves, or `use_scan` is asked of others than
            `TensorDictModule`s.
        ShapeError: at call, there is no time dimension.
        MissingKeyError: at call, an entry is not there.

    Example:
        >>> from tensordict import TensorDict
        >>> from rl.core.modules.world_models.rssm import RSSMPosterior, RSSMPrior
        >>> from rl.core.specs import Bounded
        >>> prior = TensorDictModule(
        ...     RSSMPrior(Bounded(-1.0, 1.0, (2,))),
        ...     ["state", "belief", "action"],
        ...     [("next", "prior_mean"), ("next", "prior_std"), "_", ("next", "belief")],
        ... )
        >>> posterior = TensorDictModule(
        ...     RSSMPosterior(),
        ...     [("next", "belief"), ("next", "encoded_latents")],
        ...     [("next", "posterior_mean"), ("next", "posterior_std"), ("next", "state")],
        ... )
        >>> td = TensorDict(
        ...     state=torch.zeros(5, 7, 30),
        ...     belief=torch.zeros(5, 7, 200),
        ...     action=torch.zeros(5, 7, 2),
        ...     next=TensorDict(encoded_latents=torch.zeros(5, 7, 16), batch_size=[5, 7]),
        ...     batch_size=[5, 7],
        ... )
        >>> RSSMRollout(prior, posterior)(td)["next", "prior_mean"].shape
        torch.Size([5, 7, 30])
    """

    def __init__(
        self,
        rssm_prior: TensorDictModuleBase,
        rssm_posterior: TensorDictModuleBase,
        use_scan: bool = False,
        compile_step: bool = False,
        compile_backend: str = "inductor",
        compile_mode: str | None = None,
    ) -> None:
        super().__init__()
        self.rssm_prior, self.rssm_posterior = rssm_prior, rssm_posterior
        self.use_scan, self.compile_step = use_scan, compile_step
        self._keys = sequence_keys(rssm_prior, rssm_posterior)
        self.in_keys = [*self._keys.carried, *self._keys.read]
        self.out_keys = list(dict.fromkeys([*self._keys.carried, *self._keys.written]))
        if use_scan:
            check_plain("RSSMRollout", rssm_prior, rssm_posterior)
        self._run = self._step
        if compile_step:
            self._run = torch.compile(self._step, backend=compile_backend, mode=compile_mode)

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Return the sequence `[*B, T]` with what the two modules wrote."""
        batch = tensordict.batch_size[:-1]
        rolled = unroll(lambda values: self._run(values, batch), tensordict, self._keys)
        return with_entries(tensordict, rolled)

    def _step(self, values: Values, batch: torch.Size) -> Values:
        return run_step(self.rssm_prior, self.rssm_posterior, values, batch, plain=self.use_scan)


class RSSMRolloutV3(TensorDictModuleBase):
    """`RSSMRollout` over sequences that hold several episodes.

    Hafner et al. 2023, "World model learning". Where an episode starts, state, belief and action
    are zero before the prior reads them.

    Args:
        rssm_prior: a TensorDict module around `RSSMPriorV3`.
        rssm_posterior: a TensorDict module around `RSSMPosteriorV3`.
        reset_key: where the first steps are marked (`InitTracker`), or None if there are none but
            the first.
        action_key: where the action is; default: the input of the prior that no step writes.

    Reads:
        state: `[*B, T, S]`, of which the first time counts.
        belief: `[*B, T, H]`, of which the first time counts.
        action: `[*B, T, A]`.
        is_init: `[*B, T, 1]` or `[*B, T]` bool.
        ("next", "encoded_latents"): `[*B, T, E]`, or what else the two modules read.
    Writes:
        state: `[*B, T, S]`, what the prior read.
        belief: `[*B, T, H]`, what the prior read.
        action: `[*B, T, A]`, what the prior read.
        ("next", ...): `[*B, T, ...]`, what the two modules write.

    The result is a new TensorDict with the other entries of the input; the input is left as it was.

    Raises:
        RLError: the modules do not feed themselves, or the action is not the only other input of
            the prior, or (at call) the marks are not bool.
        ShapeError: at call, there is no time dimension, or the marks have another shape.
        MissingKeyError: at call, an entry is not there.

    Example:
        >>> from tensordict import TensorDict
        >>> from rl.core.modules.world_models.rssm_v3 import RSSMPosteriorV3, RSSMPriorV3
        >>> prior = TensorDictModule(
        ...     RSSMPriorV3(action_shape=(2,), hidden_dim=8, rnn_hidden_dim=8),
        ...     ["state", "belief", "action"],
        ...     [("next", "prior_logits"), "_", ("next", "belief")],
        ... )
        >>> posterior = TensorDictModule(
        ...     RSSMPosteriorV3(hidden_dim=8),
        ...     [("next", "belief"), ("next", "encoded_latents")],
        ...     [("next", "posterior_logits"), ("next", "state")],
        ... )
        >>> td = TensorDict(
        ...     state=torch.zeros(5, 7, 1024),
        ...     belief=torch.zeros(5, 7, 8),
        ...     action=torch.zeros(5, 7, 2),
        ...     is_init=torch.zeros(5, 7, 1, dtype=torch.bool),
        ...     next=TensorDict(encoded_latents=torch.zeros(5, 7, 16), batch_size=[5, 7]),
        ...     batch_size=[5, 7],
        ... )
        >>> RSSMRolloutV3(prior, posterior)(td)["next", "posterior_logits"].shape
        torch.Size([5, 7, 32, 32])
    """

    def __init__(
        self,
        rssm_prior: TensorDictModuleBase,
        rssm_posterior: TensorDictModuleBase,
        reset_key: NestedKey | None = "is_init",
        action_key: NestedKey | None = None,
    ) -> None:
        super().__init__()
        self.rssm_prior, self.rssm_posterior = rssm_prior, rssm_posterior
        self._keys = sequence_keys(rssm_prior, rssm_posterior)
        self.reset_key = None if reset_key is None else unravel_key(reset_key)
        others = [key for key in rssm_prior.in_keys if unravel_key(key) not in self._keys.carried]
        self.action_key = _action_key(action_key, others)
        resets = [] if self.reset_key is None else [self.reset_key]
        self.in_keys = [*self._keys.carried, *self._keys.read, *resets]
        shown = [*self._keys.carried, self.action_key, *self._keys.written]
        self.out_keys = list(dict.fromkeys(shown))
        self._plain = _is_plain(rssm_prior) and _is_plain(rssm_posterior)

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Return the sequence `[*B, T]` with what the two modules wrote."""
        batch = tensordict.batch_size[:-1]
        starts = self._starts(tensordict)
        cleared = () if starts is None else (*self._keys.carried, self.action_key)
        rolled = unroll(
            lambda values: self._step(values, batch), tensordict, self._keys, starts, cleared
        )
        return with_entries(tensordict, rolled)

    def _step(self, values: Values, batch: torch.Size) -> Values:
        return run_step(self.rssm_prior, self.rssm_posterior, values, batch, plain=self._plain)

    def _starts(self, data: TensorDictBase) -> Tensor | None:
        """Return the marks as `[*B, T]`."""
        if self.reset_key is None:
            return None
        starts = data.get(self.reset_key, None)
        if starts is None:
            raise MissingKeyError(
                f"`RSSMRolloutV3` found no {self.reset_key!r}, which marks the first step of an "
                "episode: add `InitTracker()` to the env, or pass `reset_key=None` if no episode "
                "starts inside the sequences."
            )
        if starts.dtype != torch.bool:
            raise RLError(
                f"{self.reset_key!r} is {starts.dtype}, expected bool: call `.bool()` on it."
            )
        if starts.shape == (*data.batch_size, 1):
            return starts.squeeze(-1)
        if starts.shape == data.batch_size:
            return starts
        raise ShapeError(
            f"{self.reset_key!r} has shape {list(starts.shape)}, expected "
            f"{[*data.batch_size, 1]}: one mark for each step."
        )


def check_plain(name: str, *modules: TensorDictModuleBase) -> None:
    """Check that the functions of `modules` can be called on tensors.

    Raises:
        RLError: one of them is no `TensorDictModule`.
    """
    for module in modules:
        if not _is_plain(module):
            raise RLError(
                f"`{name}(use_scan=True)` was given a `{type(module).__name__}`, expected "
                "`TensorDictModule`s: wrap the network in one, or leave `use_scan` out."
            )


def run_step(
    prior: TensorDictModuleBase,
    posterior: TensorDictModuleBase,
    values: Values,
    batch: torch.Size,
    *,
    plain: bool,
) -> Values:
    """Return what prior and posterior write at one time."""
    if plain:
        first = call_tensors(prior, values)
        return first | call_tensors(posterior, values | first)
    first = call_tensordict(prior, values, batch)
    return first | call_tensordict(posterior, values | first, batch)


def with_entries(data: TensorDictBase, entries: Values) -> TensorDictBase:
    """Return a copy of `data` that has `entries`; tensors are shared."""
    out = data.copy()
    for key, value in entries.items():
        out.set(key, value)
    return out


def _is_plain(module: TensorDictModuleBase) -> bool:
    return type(module) is TensorDictModule


def _action_key(key: NestedKey | None, others: list[NestedKey]) -> NestedKey:
    if key is None and len(others) == 1:
        return unravel_key(others[0])
    if key is not None and unravel_key(key) in others:
        return unravel_key(key)
    raise RLError(
        f"Besides what the steps hand on, the prior reads {others}, expected the action"
        f"{'' if key is None else f' {key!r}'} among them: pass `action_key=`."
    )
