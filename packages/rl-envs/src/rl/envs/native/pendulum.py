"""`PendulumEnv`: the inverted pendulum in torch, whose whole state travels in the TensorDict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from rl.core import Bounded, Composite, RLError, Unbounded, nearest
from rl.envs.base import EnvBase

__all__ = ["PendulumEnv"]

#: the parameters and their values; the dynamics are gymnasium's `Pendulum-v1`
_PARAMS = {
    "max_speed": 8.0,
    "max_torque": 2.0,
    "dt": 0.05,
    "g": 10.0,
    "m": 1.0,
    "l": 1.0,
}
_START = ("th", "thdot")


class PendulumEnv(EnvBase):
    """Swing a pendulum up and hold it there; any batch size, differentiable, no hidden state.

    Angle `th` (rad, 0 is upright), angular velocity `thdot` (rad/s) and the parameters are entries
    of the TensorDict, so the env steps whatever batch it is given. With torque `u` clipped to
    `[-max_torque, max_torque]`, the cost is `th² + 0.1 thdot² + 0.001 u²` (`th` wrapped to [-π,
    π]) and `thdot' = thdot + (3 g / (2 l) sin(th) + 3 / (m l²) u) dt`, clipped to `[-max_speed,
    max_speed]`; `th' = th + thdot' dt`. It never ends by itself: add `StepCounter(max_steps=200)`.

    Args:
        td_params: parameters under "params", as `gen_params` returns them; used by a `reset()`
            without a TensorDict.
        seed: seed of the initial states; drawn from torch's generator if None.
        device: where data is delivered.

    Reads:
        th, thdot: [*B] float32, the angle and the angular velocity.
        params: [*B] TensorDict with max_speed, max_torque, dt, g, m, l.
        action: [*B, 1] float32, the torque.
    Writes:
        th, thdot: [*B] float32.
        params: [*B], unchanged.
        reward: [*B, 1] float32, minus the cost.
        done, terminated: [*B, 1] bool, false.

    Example:
        >>> env = PendulumEnv(seed=0)
        >>> env.rollout(3)["next", "reward"].shape
        torch.Size([3, 1])
        >>> batch = env.reset(env.gen_params(batch_size=[10]))
        >>> env.rollout(3, auto_reset=False, tensordict=batch)["th"].shape
        torch.Size([10, 3])
    """

    batch_locked = False

    def __init__(
        self,
        td_params: TensorDictBase | None = None,
        seed: int | None = None,
        device: torch.device | str | int | None = None,
    ) -> None:
        super().__init__(device=device)
        params = self.gen_params() if td_params is None else td_params
        self._default = params.select("params").to(device) if device is not None else params
        self._make_specs(params["params"])
        self._generator = torch.Generator(device=device or "cpu")
        self._generator.manual_seed(torch.initial_seed() if seed is None else seed)

    @staticmethod
    def gen_params(
        g: float = 10.0,
        batch_size: Sequence[int] | None = None,
        **params: float,
    ) -> TensorDict:
        """Return the parameters under `"params"`, for `reset`.

        Args:
            g: gravity, m/s².
            batch_size: the batch dims of the result.
            params: other values for max_speed (rad/s), max_torque (N m), dt (s), m (kg), l (m).

        Raises:
            RLError: an unknown parameter.
        """
        for name in params:
            if name not in _PARAMS:
                raise RLError(f"`{name}` is no parameter of the pendulum. {nearest(name, _PARAMS)}")
        values = {**_PARAMS, "g": g, **params}
        size = torch.Size(batch_size or ())
        content = {name: torch.full(size, float(value)) for name, value in values.items()}
        return TensorDict({"params": TensorDict(content, size)}, size)

    def _make_specs(self, params: TensorDictBase) -> None:
        high = float(params["max_speed"].max())
        torque = float(params["max_torque"].max())
        leaves = {name: Unbounded(shape=(), device=self.device) for name in _PARAMS}
        state = Composite(
            th=Unbounded(shape=(), device=self.device),
            thdot=Bounded(-high, high, shape=(), device=self.device),
            params=Composite(leaves, device=self.device),
            device=self.device,
        )
        self.observation_spec = state
        self.state_spec = state.clone()
        self.action_spec = Bounded(-torque, torque, shape=(1,), device=self.device)

    def _reset(self, tensordict: TensorDictBase | None = None, **kwargs: Any) -> TensorDictBase:
        if tensordict is None or "params" not in tensordict:
            size = torch.Size([]) if tensordict is None else tensordict.batch_size
            default = self._default["params"]
            params = default.expand(size) if default.batch_size != size else default
        else:
            params, size = tensordict["params"], tensordict.batch_size
        if kwargs.get("set_state"):
            start = {name: tensordict[name].clone() for name in _START}
        else:
            # gymnasium starts from th in [-pi, pi] and thdot in [-1, 1]
            start = {"th": self._uniform(size) * math.pi, "thdot": self._uniform(size)}
        return TensorDict({**start, "params": params.clone()}, size, device=self.device)

    def _uniform(self, size: torch.Size) -> Tensor:
        return torch.rand(size, generator=self._generator, device=self.device) * 2 - 1

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        th, thdot, params = tensordict["th"], tensordict["thdot"], tensordict["params"]
        limit, dt = params["max_torque"], params["dt"]
        u = tensordict["action"].squeeze(-1).clamp(-limit, limit)
        cost = _wrapped(th) ** 2 + 0.1 * thdot**2 + 0.001 * u**2
        gravity = 3 * params["g"] / (2 * params["l"]) * th.sin()
        torque = 3.0 / (params["m"] * params["l"] ** 2) * u
        speed = params["max_speed"]
        thdot = (thdot + (gravity + torque) * dt).clamp(-speed, speed)
        done = torch.zeros((*th.shape, 1), dtype=torch.bool, device=th.device)
        return TensorDict(
            {
                "th": th + thdot * dt,
                "thdot": thdot,
                "params": params.clone(),
                "reward": -cost.unsqueeze(-1),
                "done": done,
                "terminated": done.clone(),
            },
            tensordict.batch_size,
            device=self.device,
        )

    def _set_seed(self, seed: int | None) -> None:
        if seed is not None:
            self._generator.manual_seed(seed)

    def resume_state(self) -> dict[str, Any]:
        """Return the state of the generator; the pendulum's own travels in the TensorDict."""
        return {"generator": self._generator.get_state()}

    def load_resume_state(self, state: dict[str, Any]) -> None:
        """Restore the generator."""
        self._generator.set_state(state["generator"].cpu())


def _wrapped(angle: Tensor) -> Tensor:
    """Return the angle in [-π, π)."""
    return (angle + math.pi) % (2 * math.pi) - math.pi
