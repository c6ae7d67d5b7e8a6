"""Model-predictive path integral control."""

from __future__ import annotations

import torch
from tensordict import TensorDictBase
from tensordict.nn import TensorDictModuleBase
from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.errors import RLError
from rl.core.modules.planners.mpc import MPCPlannerBase, PlanningEnv, check_count
from rl.core.modules.planners.trajectories import alive_after, below_next, elites, per_entry
from rl.core.modules.trajectory import join_transitions

__all__ = ["MPPIPlanner"]


class MPPIPlanner(MPCPlannerBase):
    """Plan by path integrals (Williams et al. 2015; in this form Hansen et al. 2022, section 3).

    Draw action sequences from Gaussians, simulate them, and move the Gaussians to the mean and
    variance of the best, each weighted by `exp(temperature * advantage)`; repeat. The action is the
    first of the mean sequence.

    Args:
        env: a stateless env with continuous actions.
        advantage_module: a TensorDict module, such as `TDLambdaEstimator`, that writes the
            advantages of trajectories `[N, *B, H]`. Its `tensor_keys.advantage` says where, by
            default `"advantage"`. A sequence is worth the sum of its advantages.
        temperature: how strongly greater advantages weigh.
        planning_horizon: length of the sequences.
        optim_steps: number of repetitions.
        num_candidates: sequences drawn in each.
        top_k: the best of them, which count.
        reward_key: where the env writes the reward, with or without `"next"`.
        action_key: where the action goes.

    Reads:
        observation: the entries of `env.observation_spec`.
    Writes:
        action: `[*B, *A]`, inside the action's spec.

    Advantages after the end of an episode (the `done` beside the reward) do not count.

    Raises:
        RLError: a count or the temperature is not positive, `top_k` is above `num_candidates`,
            the env takes one batch size only, or (at call) the advantages are NaN.
        SpecError: the action is not continuous.
        MissingKeyError: at call, the module wrote no advantage.

    Example:
        >>> from tensordict import TensorDict
        >>> from tensordict.nn import TensorDictModule
        >>> from rl.core.specs import Bounded, Composite
        >>> class Line:
        ...     batch_locked, batch_size = False, torch.Size([])
        ...     observation_spec = Composite(position=Bounded(-9.0, 9.0, (1,)))
        ...     action_spec = Bounded(-1.0, 1.0, (1,))
        ...     def step(self, td):
        ...         position = td["position"] + td["action"]
        ...         result = {"position": position, "reward": -position.abs()}
        ...         return td.set("next", TensorDict(result, td.batch_size))
        >>> reward = TensorDictModule(lambda r: r, [("next", "reward")], ["advantage"])
        >>> _ = torch.manual_seed(0)
        >>> plan = MPPIPlanner(
        ...     Line(), reward, 5.0, planning_horizon=1, optim_steps=5, num_candidates=100, top_k=10
        ... )
        >>> plan(TensorDict(position=torch.tensor([0.5])))["action"].round(decimals=1)
        tensor([-0.5000])
    """

    def __init__(  # noqa: PLR0913 - the arguments that TorchRL users pass
        self,
        env: PlanningEnv,
        advantage_module: TensorDictModuleBase,
        temperature: float,
        planning_horizon: int,
        optim_steps: int,
        num_candidates: int,
        top_k: int,
        reward_key: NestedKey = ("next", "reward"),
        action_key: NestedKey = "action",
    ) -> None:
        super().__init__(env, action_key)
        self.advantage_module = advantage_module
        if not temperature > 0:
            raise RLError(
                f"`MPPIPlanner` was given temperature={temperature}, expected a positive number: "
                "it multiplies the advantages; 1.0 is a start."
            )
        self.temperature = temperature
        self.planning_horizon = check_count("MPPIPlanner", "planning_horizon", planning_horizon)
        self.optim_steps = check_count("MPPIPlanner", "optim_steps", optim_steps)
        self.num_candidates = check_count("MPPIPlanner", "num_candidates", num_candidates)
        self.top_k = check_count("MPPIPlanner", "top_k", top_k, num_candidates)
        self.reward_key = below_next(reward_key)

    def planning(self, tensordict: TensorDictBase) -> Tensor:
        """Return the action `[*B, *A]`."""
        start = self.candidates(tensordict, self.num_candidates)
        mean, std = self.initial_distribution(tensordict, self.planning_horizon)
        shape = (self.planning_horizon, self.num_candidates, *mean.shape[2:])
        for _ in range(self.optim_steps):
            noise = torch.randn(shape, dtype=mean.dtype, device=mean.device)
            actions = self.action_spec.project(mean + std * noise)
            score, index = self.advantages(start, actions).topk(self.top_k, dim=0)
            elite = elites(actions, index)
            weight = (self.temperature * score).softmax(0)
            weight = weight.reshape(1, *weight.shape, *(1,) * (elite.dim() - 1 - weight.dim()))
            mean = (weight * elite).sum(1, keepdim=True)
            std = (weight * (elite - mean).square()).sum(1, keepdim=True).sqrt()
        # a mean of actions inside an interval may round out of it
        return self.action_spec.project(mean[0, 0])

    def advantages(self, start: TensorDictBase, actions: Tensor) -> Tensor:
        """Return the sums of advantages `[N, *B]` of `actions`, `[H, N, *B, *A]`."""
        transitions, counted = [], []
        alive = torch.ones(start.batch_size, dtype=torch.bool, device=actions.device)
        for transition in self.simulate(start, actions):
            transitions.append(transition)
            counted.append(alive)
            alive = alive_after(transition, self.reward_key, alive)
        trajectories = self.advantage_module(join_transitions(transitions))
        keys = getattr(self.advantage_module, "tensor_keys", None)
        key = getattr(keys, "advantage", "advantage")
        fix = "pass an `advantage_module` that writes it."
        advantage = per_entry(trajectories, key, fix).sum(-1)
        total = torch.where(torch.stack(counted, -1), advantage, 0.0).sum(-1)
        if total.isnan().any():
            raise RLError(
                f"`{type(self.advantage_module).__name__}` returned NaN advantages: bound the "
                f"env's states, or shorten planning_horizon={self.planning_horizon}."
            )
        return total
