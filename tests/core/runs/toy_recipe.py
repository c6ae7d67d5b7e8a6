"""A recipe of a few lines: a seeded optimisation that can be stopped and resumed.

Run as a program it is the `rl` command with this recipe registered as `toy`.
"""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import dataclass

import torch

from rl.core.checkpoint import Checkpoint
from rl.core.cli.main import main
from rl.core.runs import RECIPES, Evaluation, Result, Run


@dataclass
class Config:
    """Flags of the toy recipe."""

    seed: int = 0
    """Seed of the run."""
    total_frames: int = 1000
    """Frames of the whole training."""
    out: str | None = None
    checkpoint_interval_s: float = 60.0
    hidden: tuple[int, ...] = (4,)
    pause_s: float = 0.0


class _Generator:
    """A torch generator as a component."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def state_dict(self):
        return {"state": self.generator.get_state()}

    def load_state_dict(self, state_dict):
        self.generator.set_state(state_dict["state"])


def build(config: Config):
    torch.manual_seed(config.seed)
    width = config.hidden[0]
    model = torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.Linear(width, 1))
    optim = torch.optim.Adam(model.parameters(), lr=1e-2)
    return model, optim, _Generator(config.seed)


def train(config: Config, run: Run | None = None) -> Result:
    run = run or Run.start("toy", config)
    model, optim, rng = build(config)
    checkpoint = Checkpoint(model=model, optim=optim, rng=rng)
    frames = run.restore(checkpoint)
    while frames < config.total_frames:
        x = torch.randn(10, 3, generator=rng.generator)
        loss = (model(x) - x.sum(-1, keepdim=True)).square().mean()
        optim.zero_grad()
        loss.backward()
        optim.step()
        frames += 10
        run.log(frames, loss=loss, episode_return=-loss.item())
        time.sleep(config.pause_s)
        run.safe_point(frames, checkpoint)
    return run.finish(frames, checkpoint, lambda: Evaluation([-loss_of(model)] * 2))


def loss_of(model) -> float:
    x = torch.eye(3)
    return (model(x) - 1.0).square().mean().item()


def evaluate(config: Config, run: Run, episodes: int, video: str | None = None) -> Evaluation:
    model, _, _ = build(config)
    model.load_state_dict(run.load()["model"])
    return Evaluation([-loss_of(model)] * episodes, lengths=[1] * episodes)


if __name__ == "__main__":
    # as in a terminal, also when the tests run in the background or under nohup
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    RECIPES.register("toy", sys.modules[__name__])
    sys.exit(main())
