"""GRPO on a tiny language model with a reward that a program verifies; nothing is downloaded.

The model is random and built here. Its task is to answer "say 7" with 7777: a fifth of the reward
is for writing digits (the format), the rest for the digit that was asked for (the answer). From
random bytes to right answers takes about half a minute on one CPU core.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from tensordict import TensorDict, TensorDictBase

from rl.core.checkpoint import Checkpoint, GlobalRNGState
from rl.core.runs import Evaluation, Result, Run
from rl.core.seeding import set_seed_everywhere
from rl.llm.history import History
from rl.llm.objectives import GRPOLoss, MCAdvantage
from rl.llm.policies import TransformersWrapper
from rl.llm.testing import tiny_model, tiny_tokenizer

__all__ = ["Config", "evaluate", "make_policy", "train", "verified_reward"]

DIGITS = "0123456789"


@dataclass
class Config:
    """Flags of `rl train grpo`."""

    task: Literal["echo", "digits"] = "echo"
    """echo: repeat the digit that is asked for; digits: write digits, whichever."""
    seed: int = 0
    out: str | None = None
    """The run folder; None keeps nothing on disk."""
    total_frames: int = 15_360
    """Answers to generate; each is one frame."""
    prompts_per_batch: int = 8
    group_size: int = 16
    """Answers per prompt, compared with each other."""
    max_new_tokens: int = 4
    temperature: float = 1.0
    learning_rate: float = 2e-3
    num_epochs: int = 2
    num_minibatches: int = 2
    clip_epsilon: float = 0.2
    entropy_coeff: float = 0.05
    max_grad_norm: float = 1.0
    hidden_size: int = 64
    num_layers: int = 2
    num_threads: int = 1
    """Threads of torch; operations as small as these are slower with more."""
    checkpoint_interval_s: float = 60.0


def make_policy(config: Config) -> TransformersWrapper:
    """Build the tokenizer, the random model and the policy that samples groups of answers."""
    tokenizer = tiny_tokenizer()
    model = tiny_model(
        tokenizer,
        seed=config.seed,
        hidden_size=config.hidden_size,
        num_layers=config.num_layers,
    )
    return TransformersWrapper(
        model,
        tokenizer=tokenizer,
        input_mode="history",
        num_samples=config.group_size,
        generate_kwargs={
            "max_new_tokens": config.max_new_tokens,
            "temperature": config.temperature,
        },
    )


def ask(digits: Sequence[int]) -> TensorDict:
    """Return one conversation per digit, `[B]`, that asks for it."""
    query = [f"say {digit}" for digit in digits]
    prompt = History.from_chats([[{"role": "user", "content": text}] for text in query])
    return TensorDict({"query": query, "history": {"prompt": prompt}}, batch_size=[len(query)])


def verified_reward(query: str, answer: str, config: Config) -> float:
    """Score an answer in [0, 1], by counting characters over the length that is asked for.

    Example:
        >>> verified_reward("say 7", "7777", Config()), verified_reward("say 7", "7x", Config())
        (1.0, 0.25)
    """
    is_digit = sum(character in DIGITS for character in answer) / config.max_new_tokens
    if config.task == "digits":
        return is_digit
    is_right = sum(character == query[-1] for character in answer) / config.max_new_tokens
    return 0.2 * is_digit + 0.8 * is_right


def rewards_of(batch: TensorDictBase, config: Config) -> torch.Tensor:
    """Return the rewards `[B, 1, 1]` of a batch of answers."""
    answers = batch["history"].response.content
    pairs = zip(batch["query"], answers, strict=True)
    scores = [verified_reward(query, answer[0], config) for query, answer in pairs]
    return torch.tensor(scores).view(-1, 1, 1)


def sample_batch(
    policy: TransformersWrapper, advantage: MCAdvantage, config: Config
) -> tuple[TensorDictBase, float]:
    """Let the policy answer random questions; return the scored batch and its mean reward."""
    digits = torch.randint(len(DIGITS), (config.prompts_per_batch,)).tolist()
    batch = policy(ask(digits)).reshape(-1)
    reward = rewards_of(batch, config)
    done = torch.ones(len(batch), 1, dtype=torch.bool)
    batch["next"] = TensorDict({"reward": reward, "done": done}, batch_size=[len(batch)])
    return advantage.inv(batch), float(reward.mean())


def update(
    loss: GRPOLoss, optimizer: torch.optim.Optimizer, batch: TensorDictBase, config: Config
) -> dict[str, float]:
    """Take the optimiser's steps on a batch; return the metrics of the last one."""
    batch = batch.select("tokens", "masks", "log_probs", "advantage")
    output = None
    for _ in range(config.num_epochs):
        for rows in torch.randperm(len(batch)).chunk(config.num_minibatches):
            output = loss(batch[rows])
            optimizer.zero_grad()
            output.total().backward()
            torch.nn.utils.clip_grad_norm_(
                loss.parameters(), config.max_grad_norm, error_if_nonfinite=True
            )
            optimizer.step()
    return output.metrics()


def train(config: Config, run: Run | None = None) -> Result:
    """Train, from the run's checkpoint when it has one."""
    run = run or Run.start("grpo", config)
    torch.set_num_threads(config.num_threads)
    set_seed_everywhere(config.seed)
    policy = make_policy(config)
    advantage = MCAdvantage(config.group_size)
    loss = GRPOLoss(policy, clip_epsilon=config.clip_epsilon, entropy_coeff=config.entropy_coeff)
    optimizer = torch.optim.Adam(loss.parameters(), lr=config.learning_rate)
    checkpoint = Checkpoint(model=policy.model, optimizer=optimizer, rng=GlobalRNGState())
    frames = run.restore(checkpoint)
    while frames < config.total_frames:
        batch, reward = sample_batch(policy, advantage, config)
        metrics = update(loss, optimizer, batch, config)
        frames += len(batch)
        run.log(frames, episode_return=reward, **metrics)
        run.safe_point(frames, checkpoint)
    return run.finish(frames, checkpoint, lambda: answer_all(policy, config, len(DIGITS)))


def evaluate(config: Config, run: Run, episodes: int, video: str | None = None) -> Evaluation:
    """Let the saved policy answer greedily; there is no video of a text."""
    policy = make_policy(config)
    saved = run.load()
    if saved is not None:
        policy.model.load_state_dict(saved["model"])
    return answer_all(policy, config, episodes)


def answer_all(policy: TransformersWrapper, config: Config, episodes: int) -> Evaluation:
    """Ask for each digit in turn and score the most likely answers."""
    greedy = policy.get_new_version(
        num_samples=None,
        generate_kwargs={"max_new_tokens": config.max_new_tokens, "do_sample": False},
    )
    batch = greedy(ask([episode % len(DIGITS) for episode in range(episodes)]))
    return Evaluation(rewards_of(batch, config).flatten().tolist())
