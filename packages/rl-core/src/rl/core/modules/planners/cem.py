"""The cross-entropy method."""

from __future__ import annotations

import torch
from tensordict import TensorDictBase
from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.errors import RLError
from rl.core.modules.planners.mpc import MPCPlannerBase, PlanningEnv, check_count
from rl.core.modules.planners.trajectories import alive_after, below_next, elites, per_entry

__all__ = ["CEMPlanner"]


class CEMPlanner(MPCPlannerBase):
    """Plan by the cross-entropy method (Botev et al. 2013).

    Draw action sequences from Gaussians, simulate them, fit the Gaussians to the best, repeat. The
    action is the first of the mean sequence.

    Args:
        env: a stateless env with continuous actions.
        planning_horizon: length of the sequences.
        optim_steps: number of repetitions.
        num_candidates: sequences drawn in each.
        top_k: the best of them, which the Gaussians are fitted to.
        reward_key: where the env writes the reward, with or without `"next"`.
        action_key: where the action goes.

    Reads:
        observation: the entries of `env.observation_spec`.
    Writes:
        action: `[*B, *A]`, inside the action's spec.

    Rewards after the end of an episode (the `done` beside the reward) do not count.

    Raises:
        RLError: a count is not positive, `top_k` is above `num_candidates`, the env takes one
            batch size only, or (at call) its rewards are NaN.
        SpecError: the action is not continuous.
        MissingKeyError: at call, the env wrote no reward.

    Example:
        >>> from tensordict import TensorDict
        >>> from rl.core.specs import Bounded, Composite
        >>> class Line:
        ...     batch_locked, batch_size = False, torch.Size([])
        ...     observation_spec = Composite(position=Bounded(-9.0, 9.0, (1,)))
        ...     action_spec = Bounded(-1.0, 1.0, (1,))
        ...     def step(self, td):
        ...         position = td["position"] + td["action"]
        ...         result = {"position": position, "reward": -position.abs()}
        ...         return td.set("next", TensorDict(result, td.batch_size))
        >>> _ = torch.manual_seed(0)
        >>> plan = CEMPlanner(Line(), 1, optim_steps=5, num_candidates=100, top_k=10)
        >>> plan(TensorDict(position=torch.tensor([0.5])))["action"].round(decimals=1)
        tensor([-0.5000])
    """

    def __init__(
        self,
        env: PlanningEnv,
        planning_horizon: int,
        optim_steps: int,
        num_candidates: int,
        top_k: int,
        reward_key: NestedKey = ("next", "reward"),
        action_key: NestedKey = "action",
    ) -> None:
        super().__init__(env, action_key)
        self.planning_horizon = check_count("CEMPlanner", "planning_horizon", planning_horizon)
        self.optim_steps = check_count("CEMPlanner", "optim_steps", optim_steps)
        self.num_candidates = check_count("CEMPlanner", "num_candidates", num_candidates)
        self.top_k = check_count("CEMPlanner", "top_k", top_k, num_candidates)
        self.reward_key = below_next(reward_key)

    def planning(self, tensordict: TensorDictBase) -> Tensor:
        """Return the action `[*B, *A]`."""
        start = self.candidates(tensordict, self.num_candidates)
        mean, std = self.initial_distribution(tensordict, self.planning_horizon)
        shape = (self.planning_horizon, self.num_candidates, *mean.shape[2:])
        for _ in range(self.optim_steps):
            noise = torch.randn(shape, dtype=mean.dtype, device=mean.device)
            actions = self.action_spec.project(mean + std * noise)
            index = self.returns(start, actions).topk(self.top_k, dim=0).indices
            elite = elites(actions, index)
            mean = elite.mean(1, keepdim=True)
            std = elite.std(1, keepdim=True, correction=0)
        # a mean of actions inside an interval may round out of it
        return self.action_spec.project(mean[0, 0])

    def returns(self, start: TensorDictBase, actions: Tensor) -> Tensor:
        """Return the sums of rewards `[N, *B]` of `actions`, `[H, N, *B, *A]`."""
        total = alive = None
        for transition in self.simulate(start, actions):
            reward = per_entry(transition, self.reward_key, "pass `reward_key=`.").sum(-1)
            if total is None:
                total, alive = torch.zeros_like(reward), torch.ones_like(reward, dtype=torch.bool)
            total = total + torch.where(alive, reward, 0.0)
            alive = alive_after(transition, self.reward_key, alive)
        if total.isnan().any():
            raise RLError(
                f"`{type(self.env).__name__}` returned NaN rewards: bound its states, or shorten "
                f"planning_horizon={self.planning_horizon}."
            )
        return total
