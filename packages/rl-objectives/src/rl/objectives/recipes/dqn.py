"""DQN: deep Q-learning with a replay buffer and a target network (Mnih et al. 2015)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tensordict import TensorDictBase
from tensordict.nn import TensorDictSequential
from torch import nn

from rl.core import (
    MLP,
    Checkpoint,
    EGreedyModule,
    Evaluation,
    GlobalRNGState,
    QValueActor,
    Result,
    Run,
    set_seed_everywhere,
)
from rl.data import LazyTensorStorage, TensorDictReplayBuffer
from rl.envs import Collector, EnvBase
from rl.objectives.losses.dqn import DQNLoss
from rl.objectives.recipes.networks import sizes_of
from rl.objectives.recipes.task import (
    TRANSITION_KEYS,
    ended_returns,
    evaluate_policy,
    make_env,
)
from rl.objectives.targets import HardUpdate

__all__ = ["Config", "evaluate", "train"]


@dataclass
class Config:
    """The flags of `rl train dqn`."""

    env: str = "CartPole-v1"
    """Gymnasium id; discrete actions, flat observations."""
    total_frames: int = 50_000
    """Environment steps of training."""
    seed: int = 0
    out: str | None = None
    """The run folder; None keeps nothing."""
    num_envs: int = 1
    frames_per_batch: int = 256
    init_random_frames: int = 1024
    """Steps before the first update."""
    updates_per_batch: int = 128
    batch_size: int = 64
    buffer_size: int = 100_000
    lr: float = 2.3e-3
    gamma: float = 0.99
    double_dqn: bool = False
    target_update_interval: int = 128
    """Updates between two copies into the target network."""
    eps_init: float = 1.0
    eps_end: float = 0.04
    annealing_frames: int = 8_000
    """Steps over which epsilon falls."""
    max_grad_norm: float = 10.0
    hidden: tuple[int, ...] = (256, 256)
    num_threads: int = 1
    """Threads of torch; networks of this size are fastest on one."""
    eval_episodes: int = 20
    checkpoint_interval_s: float = 30.0


def make_network(config: Config) -> QValueActor:
    """Return the Q-network as a greedy policy."""
    env: EnvBase = make_env(config.env, 1)
    num_inputs, num_actions = sizes_of(env)
    net = MLP(num_inputs, num_actions, num_cells=config.hidden, activation_class=nn.ReLU)
    actor = QValueActor(net, in_keys=["observation"], spec=env.full_action_spec_unbatched)
    env.close()
    return actor


def train(config: Config, run: Run | None = None) -> Result:
    """Train, from the run's checkpoint when it has one."""
    run = run or Run.start("dqn", config)
    torch.set_num_threads(config.num_threads)
    set_seed_everywhere(config.seed)
    actor = make_network(config)
    loss = DQNLoss(actor, loss_function="smooth_l1", delay_value=True, double_dqn=config.double_dqn)
    loss.make_value_estimator(gamma=config.gamma)
    updater = HardUpdate(loss, value_network_update_interval=config.target_update_interval)
    optim = torch.optim.Adam(loss.parameters(), lr=config.lr)
    buffer = TensorDictReplayBuffer(
        storage=LazyTensorStorage(config.buffer_size), batch_size=config.batch_size
    )
    exploration = EGreedyModule(
        actor.spec,
        eps_init=config.eps_init,
        eps_end=config.eps_end,
        annealing_num_steps=config.annealing_frames,
    )
    collector = Collector(
        make_env(config.env, config.num_envs),
        TensorDictSequential(actor, exploration),
        frames_per_batch=config.frames_per_batch,
    )
    collector.set_seed(config.seed)
    checkpoint = Checkpoint(
        loss=loss,
        updater=updater,
        optim=optim,
        buffer=buffer,
        exploration=exploration,
        collector=collector,
        rng=GlobalRNGState(),
    )
    try:
        frames = run.restore(checkpoint)
        while frames < config.total_frames:
            batch = collector.next()
            frames += batch.numel()
            exploration.step(batch.numel())
            buffer.extend(batch.reshape(-1).select(*TRANSITION_KEYS))
            metrics = {"epsilon": exploration.eps}
            if frames > config.init_random_frames:
                metrics |= update(config, buffer, loss, optim, updater)
            returns = ended_returns(batch)
            if returns.numel():
                metrics["episode_return"] = returns.mean()
            run.log(frames, **metrics)
            run.safe_point(frames, checkpoint)
        return run.finish(
            frames,
            checkpoint,
            lambda: evaluate_policy(config.env, actor, config.eval_episodes, seed=config.seed + 1),
        )
    finally:
        collector.shutdown()


def update(
    config: Config,
    buffer: TensorDictReplayBuffer,
    loss: DQNLoss,
    optim: torch.optim.Optimizer,
    updater: HardUpdate,
) -> dict[str, torch.Tensor]:
    """Take `updates_per_batch` steps on samples of the buffer; return the mean loss."""
    total = torch.zeros(())
    for _ in range(config.updates_per_batch):
        sample: TensorDictBase = buffer.sample()
        value = loss(sample)["loss"]
        optim.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(loss.parameters(), config.max_grad_norm)
        optim.step()
        updater.step()
        total += value.detach()
    return {"loss": total / config.updates_per_batch}


def evaluate(config: Config, run: Run, episodes: int, video: str | None = None) -> Evaluation:
    """Play the saved policy greedily."""
    actor = make_network(config)
    DQNLoss(actor, delay_value=True).load_state_dict(run.load()["loss"])
    return evaluate_policy(config.env, actor, episodes, seed=config.seed + 1, video=video)
