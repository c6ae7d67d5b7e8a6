"""PPO: policy optimisation with a clipped surrogate (Schulman et al. 2017, arXiv:1707.06347)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from tensordict import TensorDictBase
from torch import nn

from rl.core import Checkpoint, Evaluation, GlobalRNGState, Result, Run, set_seed_everywhere
from rl.envs import Collector, EnvBase
from rl.objectives.losses.clip_ppo import ClipPPOLoss
from rl.objectives.recipes.networks import make_actor, make_critic
from rl.objectives.recipes.task import ended_returns, evaluate_policy, make_env
from rl.objectives.value.gae import GAE

__all__ = ["Config", "evaluate", "train"]


@dataclass
class Config:
    """The flags of `rl train ppo`."""

    env: str = "CartPole-v1"
    """Gymnasium id; discrete or continuous actions, flat observations."""
    total_frames: int = 100_000
    """Environment steps of training."""
    seed: int = 0
    out: str | None = None
    """The run folder; None keeps nothing."""
    num_envs: int = 8
    """Envs that are stepped together."""
    parallel: bool = False
    """Step the envs in worker processes."""
    collector: str = "single"
    """Where collection runs: "single", or an installed backend such as "ray"."""
    num_collectors: int = 2
    """Workers of such a backend."""
    frames_per_batch: int = 2048
    num_epochs: int = 10
    """Passes over each batch."""
    minibatch_size: int = 256
    lr: float = 1e-3
    anneal_lr: bool = True
    """Let the learning rate fall to zero over the run."""
    gamma: float = 0.99
    lmbda: float = 0.95
    clip_epsilon: float = 0.2
    entropy_coeff: float = 0.0
    critic_coeff: float = 0.5
    max_grad_norm: float = 0.5
    hidden: tuple[int, ...] = (64, 64)
    num_threads: int = 1
    """Threads of torch; networks of this size are fastest on one."""
    eval_episodes: int = 20
    checkpoint_interval_s: float = 30.0


def make_collector(config: Config, policy: nn.Module) -> Collector:
    """Return what collects `config.frames_per_batch` transitions at a time."""
    maker = partial(make_env, config.env, config.num_envs, parallel=config.parallel)
    options = {} if config.collector == "single" else {"num_collectors": config.num_collectors}
    return Collector(
        maker,
        policy,
        backend=config.collector,
        backend_options=options,
        frames_per_batch=config.frames_per_batch,
        total_frames=-1,
    )


def train(config: Config, run: Run | None = None) -> Result:
    """Train, from the run's checkpoint when it has one."""
    run = run or Run.start("ppo", config)
    torch.set_num_threads(config.num_threads)
    set_seed_everywhere(config.seed)
    policy, critic = make_networks(config)
    gae = GAE(gamma=config.gamma, lmbda=config.lmbda, value_network=critic)
    loss = ClipPPOLoss(
        policy,
        critic,
        clip_epsilon=config.clip_epsilon,
        entropy_coeff=config.entropy_coeff,
        critic_coeff=config.critic_coeff,
        normalize_advantage=True,
    )
    optim = torch.optim.Adam(loss.parameters(), lr=config.lr, eps=1e-5)
    collector = make_collector(config, policy)
    collector.set_seed(config.seed)
    checkpoint = Checkpoint(loss=loss, optim=optim, collector=collector, rng=GlobalRNGState())
    try:
        frames = run.restore(checkpoint)
        while frames < config.total_frames:
            if config.anneal_lr:
                optim.param_groups[0]["lr"] = config.lr * (1 - frames / config.total_frames)
            batch = collector.next()
            metrics = update(config, batch, gae, loss, optim)
            collector.update_policy_weights_()
            frames += batch.numel()
            returns = ended_returns(batch)
            if returns.numel():
                metrics["episode_return"] = returns.mean()
            run.log(frames, **metrics)
            run.safe_point(frames, checkpoint)
        return run.finish(
            frames,
            checkpoint,
            lambda: evaluate_policy(config.env, policy, config.eval_episodes, seed=config.seed + 1),
        )
    finally:
        collector.shutdown()


def make_networks(config: Config) -> tuple[nn.Module, nn.Module]:
    """Return the policy and the critic."""
    env: EnvBase = make_env(config.env, 1)
    policy = make_actor(env, config.hidden, nn.Tanh, orthogonal=True)
    critic = make_critic(env, config.hidden, nn.Tanh, orthogonal=True)
    env.close()
    return policy, critic


def update(
    config: Config,
    batch: TensorDictBase,
    gae: nn.Module,
    loss: ClipPPOLoss,
    optim: torch.optim.Optimizer,
) -> dict[str, torch.Tensor]:
    """Go over the batch `num_epochs` times in shuffled minibatches; return the mean metrics."""
    with torch.no_grad():
        gae(batch)
    keys = ["observation", "action", "action_log_prob", "advantage", "value_target"]
    flat = batch.select(*keys).reshape(-1)
    sums: dict[str, torch.Tensor] = {}
    num_updates = 0
    for _ in range(config.num_epochs):
        for index in torch.randperm(flat.shape[0]).split(config.minibatch_size):
            out = loss(flat[index])
            total = out["loss_objective"] + out["loss_critic"]
            if config.entropy_coeff:
                total = total + out["loss_entropy"]
            optim.zero_grad()
            total.backward()
            nn.utils.clip_grad_norm_(loss.parameters(), config.max_grad_norm)
            optim.step()
            num_updates += 1
            for key, value in out.items():
                sums[key] = sums.get(key, 0.0) + value.detach()
    return {key: value.mean() / num_updates for key, value in sums.items()}


def evaluate(config: Config, run: Run, episodes: int, video: str | None = None) -> Evaluation:
    """Play the saved policy without exploration."""
    policy, critic = make_networks(config)
    loss = ClipPPOLoss(policy, critic, entropy_coeff=config.entropy_coeff)
    loss.load_state_dict(run.load()["loss"])
    return evaluate_policy(config.env, policy, episodes, seed=config.seed + 1, video=video)
