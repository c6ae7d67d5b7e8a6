"""A world model made of any parts."""

from __future__ import annotations

from collections.abc import Callable

from tensordict import TensorDictBase
from tensordict.nn import TensorDictModuleBase, TensorDictSequential, dispatch

from rl.core.contract.step import StepPlan
from rl.core.errors import MissingKeyError, RLError
from rl.core.modules.trajectory import join_transitions

__all__ = ["WorldModel"]


class WorldModel(TensorDictModuleBase):
    """Encoder, dynamics and reward head, and perhaps a done head and a decoder.

    The parts meet at the keys that they read and write. By convention the encoder writes a latent
    at the root, dynamics reads it with the action and writes the next one below `"next"`, and the
    heads read that.

    Args:
        encoder: a TensorDict module from observations to a latent.
        dynamics: a TensorDict module from latent and action to the next latent.
        reward_head: a TensorDict module from the next latent to the reward.
        done_head: a TensorDict module from the next latent to the end of the episode.
        decoder: a TensorDict module from a latent to observations.

    Reads:
        in_keys: what the parts read and none before them writes.
    Writes:
        out_keys: what the parts write.

    Raises:
        RLError: at call, a part is asked for that was not given.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> from tensordict.nn import TensorDictModule
        >>> model = WorldModel(
        ...     TensorDictModule(torch.nn.Linear(3, 4), ["observation"], ["latent"]),
        ...     TensorDictModule(
        ...         lambda z, a: z + a.sum(-1, True), ["latent", "action"], [("next", "latent")]
        ...     ),
        ...     TensorDictModule(torch.nn.Linear(4, 1), [("next", "latent")], [("next", "reward")]),
        ... )
        >>> td = TensorDict(observation=torch.zeros(5, 3), action=torch.zeros(5, 2), batch_size=[5])
        >>> model(td)["next", "reward"].shape
        torch.Size([5, 1])
        >>> act = TensorDictModule(lambda z: z[..., :2], ["latent"], ["action"])
        >>> model.rollout(td.select("observation"), act, max_steps=7)["next", "latent"].shape
        torch.Size([5, 7, 4])
    """

    def __init__(
        self,
        encoder: TensorDictModuleBase,
        dynamics: TensorDictModuleBase,
        reward_head: TensorDictModuleBase,
        *,
        done_head: TensorDictModuleBase | None = None,
        decoder: TensorDictModuleBase | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.dynamics, self.reward_head = encoder, dynamics, reward_head
        self.done_head, self.decoder = done_head, decoder
        parts = [encoder, dynamics, reward_head, done_head, decoder]
        written: list = []
        read: list = []
        for part in parts:
            if part is not None:
                read += [key for key in part.in_keys if key not in written]
                written += [key for key in part.out_keys if key != "_"]
        self.in_keys = list(dict.fromkeys(read))
        self.out_keys = list(dict.fromkeys(written))

    @dispatch(auto_batch_size=False)
    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Encode, predict and, if there is a decoder, decode."""
        tensordict = self.predict(self.encode(tensordict))
        return tensordict if self.decoder is None else self.decode(tensordict)

    def encode(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write the latent of the observations."""
        return self.encoder(tensordict)

    def predict(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write next latent, reward and, if there is a head for it, the end of the episode."""
        tensordict = self.reward_head(self.dynamics(tensordict))
        return tensordict if self.done_head is None else self.done_head(tensordict)

    def step(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Return `predict(tensordict)`."""
        return self.predict(tensordict)

    @property
    def step_module(self) -> TensorDictSequential:
        """Dynamics and heads as one module, such as a model-based env takes."""
        heads = [self.reward_head] if self.done_head is None else [self.reward_head, self.done_head]
        return TensorDictSequential(self.dynamics, *heads)

    def decode(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write the observations of the latent.

        Raises:
            RLError: there is no decoder.
        """
        if self.decoder is None:
            raise RLError("This `WorldModel` has no decoder: pass `decoder=` when it is built.")
        return self.decoder(tensordict)

    def rollout(
        self,
        tensordict: TensorDictBase,
        policy: Callable[[TensorDictBase], TensorDictBase],
        *,
        max_steps: int,
    ) -> TensorDictBase:
        """Return the imagined trajectory `[*B, T]`, with `"time"` as last dimension.

        Imagination goes on after a predicted end, whose flag the trajectory holds.

        Args:
            tensordict: `[*B]`, with the latent, or with observations that are encoded first.
            policy: writes the action, from what dynamics and the encoder write at the root.
            max_steps: the length T.

        Raises:
            RLError: `max_steps` is not positive.
            MissingKeyError: neither latent nor observations are in `tensordict`.
        """
        if max_steps < 1:
            raise RLError(f"`rollout` was given max_steps={max_steps}, expected at least 1.")
        root = tensordict.copy()
        if any(key not in root for key in self.encoder.out_keys):
            lacking = [key for key in self.encoder.in_keys if key not in root]
            if lacking:
                raise MissingKeyError(
                    f"`rollout` needs the latent {list(self.encoder.out_keys)}, or {lacking} to "
                    f"encode; the keys are {sorted(root.keys(True, True), key=str)}."
                )
            root = self.encode(root)
        plan, steps = StepPlan(), []
        for _ in range(max_steps):
            transition = self.predict(policy(root))
            steps.append(transition)
            root = plan(transition)
        return join_transitions(steps)
