"""SAC: soft actor-critic with a learned temperature (Haarnoja et al. 2018, arXiv:1812.05905).

Discrete actions take the form of Christodoulou (2019, arXiv:1910.07207).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tensordict.nn import TensorDictModule
from torch import nn

from rl.core import (
    MLP,
    Bounded,
    Checkpoint,
    Evaluation,
    GlobalRNGState,
    Result,
    Run,
    set_seed_everywhere,
)
from rl.data import LazyTensorStorage, TensorDictReplayBuffer
from rl.envs import Collector, EnvBase
from rl.objectives.losses.base import LossModule
from rl.objectives.losses.discrete_sac import DiscreteSACLoss
from rl.objectives.losses.sac import SACLoss
from rl.objectives.recipes.networks import make_actor, make_state_action_critic, sizes_of
from rl.objectives.recipes.task import (
    TRANSITION_KEYS,
    ended_returns,
    evaluate_policy,
    make_env,
)
from rl.objectives.targets import SoftUpdate

__all__ = ["Config", "evaluate", "train"]


@dataclass
class Config:
    """The flags of `rl train sac`."""

    env: str = "Pendulum-v1"
    """Gymnasium id; continuous or discrete actions, flat observations."""
    total_frames: int = 20_000
    """Environment steps of training."""
    seed: int = 0
    out: str | None = None
    """The run folder; None keeps nothing."""
    num_envs: int = 1
    frames_per_batch: int = 8
    init_random_frames: int = 1_000
    """Steps taken at random before the first update."""
    utd_ratio: float = 1.0
    """Updates per environment step."""
    batch_size: int = 256
    buffer_size: int = 1_000_000
    lr: float = 1e-3
    gamma: float = 0.99
    tau: float = 0.005
    """Step of the target networks towards the critics."""
    alpha_init: float = 1.0
    hidden: tuple[int, ...] = (256, 256)
    num_threads: int = 1
    """Threads of torch; networks of this size are fastest on one."""
    log_interval: int = 1_000
    """Steps between two records of metrics."""
    eval_episodes: int = 20
    checkpoint_interval_s: float = 30.0


def make_loss(config: Config) -> tuple[nn.Module, LossModule]:
    """Return the policy and the loss for the env's kind of action."""
    env: EnvBase = make_env(config.env, 1)
    actor = make_actor(env, config.hidden, nn.ReLU)
    if isinstance(env.action_spec_unbatched, Bounded):
        critic = make_state_action_critic(env, config.hidden, nn.ReLU)
        loss: LossModule = SACLoss(
            actor,
            critic,
            num_qvalue_nets=2,
            alpha_init=config.alpha_init,
            action_spec=env.full_action_spec_unbatched,
        )
    else:
        net = MLP(*sizes_of(env), num_cells=config.hidden, activation_class=nn.ReLU)
        loss = DiscreteSACLoss(
            actor,
            TensorDictModule(net, in_keys=["observation"], out_keys=["action_value"]),
            action_space=env.action_spec_unbatched,
            num_actions=sizes_of(env)[1],
            num_qvalue_nets=2,
            alpha_init=config.alpha_init,
            target_entropy_weight=0.2,
        )
    env.close()
    loss.make_value_estimator(gamma=config.gamma)
    return actor, loss


def train(config: Config, run: Run | None = None) -> Result:
    """Train, from the run's checkpoint when it has one."""
    run = run or Run.start("sac", config)
    torch.set_num_threads(config.num_threads)
    set_seed_everywhere(config.seed)
    actor, loss = make_loss(config)
    updater = SoftUpdate(loss, tau=config.tau)
    optim = torch.optim.Adam(loss.parameters(), lr=config.lr)
    buffer = TensorDictReplayBuffer(
        storage=LazyTensorStorage(config.buffer_size), batch_size=config.batch_size
    )
    collector = Collector(
        make_env(config.env, config.num_envs),
        actor,
        frames_per_batch=config.frames_per_batch,
        init_random_frames=config.init_random_frames,
    )
    collector.set_seed(config.seed)
    meter = Meter()
    checkpoint = Checkpoint(
        loss=loss,
        optim=optim,
        buffer=buffer,
        collector=collector,
        meter=meter,
        rng=GlobalRNGState(),
    )
    try:
        frames = run.restore(checkpoint)
        while frames < config.total_frames:
            batch = collector.next()
            frames += batch.numel()
            buffer.extend(batch.reshape(-1).select(*TRANSITION_KEYS))
            meter.add("episode_return", ended_returns(batch))
            if frames > config.init_random_frames:
                for _ in range(round(config.utd_ratio * batch.numel())):
                    update(buffer, loss, optim, updater, meter)
            if frames // config.log_interval > (frames - batch.numel()) // config.log_interval:
                run.log(frames, **meter.read())
            run.safe_point(frames, checkpoint)
        return run.finish(
            frames,
            checkpoint,
            lambda: evaluate_policy(config.env, actor, config.eval_episodes, seed=config.seed + 1),
        )
    finally:
        collector.shutdown()


def update(
    buffer: TensorDictReplayBuffer,
    loss: LossModule,
    optim: torch.optim.Optimizer,
    updater: SoftUpdate,
    meter: Meter,
) -> None:
    """Take one step of actor, critics and temperature on a sample of the buffer."""
    out = loss(buffer.sample())
    optim.zero_grad()
    (out["loss_actor"] + out["loss_qvalue"] + out["loss_alpha"]).backward()
    optim.step()
    updater.step()
    for key in ("loss_actor", "loss_qvalue", "alpha", "entropy"):
        meter.add(key, out[key].detach())


class Meter:
    """Means of what was added since the last read; part of the run's state."""

    def __init__(self) -> None:
        self._values: dict[str, list[torch.Tensor]] = {}

    def add(self, name: str, values: torch.Tensor) -> None:
        """Add the elements of `values`."""
        if values.numel():
            self._values.setdefault(name, []).append(values.flatten())

    def read(self) -> dict[str, torch.Tensor]:
        """Return the mean of each name, and start over."""
        means = {name: torch.cat(values).mean() for name, values in self._values.items()}
        self._values = {}
        return means

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return what was added since the last read."""
        return {name: torch.cat(values) for name, values in self._values.items()}

    def load_state_dict(self, state_dict: dict[str, torch.Tensor]) -> None:
        """Restore what was added."""
        self._values = {name: [values] for name, values in state_dict.items()}


def evaluate(config: Config, run: Run, episodes: int, video: str | None = None) -> Evaluation:
    """Play the saved policy without exploration."""
    actor, loss = make_loss(config)
    loss.load_state_dict(run.load()["loss"])
    return evaluate_policy(config.env, actor, episodes, seed=config.seed + 1, video=video)
