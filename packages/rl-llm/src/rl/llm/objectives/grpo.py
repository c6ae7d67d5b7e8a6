"""`GRPOLoss`: the clipped token-level policy loss with group-relative advantages."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.errors import MissingKeyError, RLError, ShapeError, nearest
from rl.llm.objectives.functional import (
    Aggregation,
    aggregate_tokens,
    clipped_token_objective,
    effective_sample_fraction,
    k3_kl_token_estimate,
)
from rl.llm.objectives.output import GRPOLossOutput
from rl.llm.policies.base import LLMWrapperBase, MaskingStrategy
from rl.llm.policies.ragged import read_padded
from rl.objectives import LossModule

__all__ = ["GRPOLoss"]


class GRPOLoss(LossModule):
    """Group relative policy optimisation: PPO's clipped loss per token, without a critic.

    `L = -mean_t min(w_t A, clip(w_t, 1 - low, 1 + high) A)`, w_t the ratio of the probabilities of
    token t under the policy and under the one that sampled it. Shao et al., 2024, arXiv:2402.03300,
    equation 3.

    Reads:
        ("tokens", "full"), ("masks", ...): what the policy wrote, `[*B, L]`.
        ("log_probs", "full"): `[*B, L]`, of the policy that sampled.
        "advantage": `[*B, 1, 1]` for the text, or `[*B, L, 1]` for the token.
        ("next", "ref_log_probs", "full"): `[*B, L]`, with `kl_to_ref_coeff`.

    Args:
        actor_network: the policy to train.
        clip_epsilon: half-width of the clipping range, or (low, high).
        kl_mask_threshold: leave out the tokens with `(log w_t)^2 / 2` above it.
        aggregation: `"token_mean"`, `"prompt_mean"` or `"none"`.
        entropy_bonus: reward entropy, and report it.
        entropy_coeff: how much; the entropy is exact, over the whole vocabulary.
        kl_to_ref_coeff: penalty for leaving the reference model; None switches it off.
        kl_to_inference_coeff: penalty for leaving the policy that sampled.
        device: where the coefficients live; the actor's by default.
        masking_strategy: `"sft"` counts the tokens behind the prompt, `"rlhf"` those that the
            assistant wrote (as `masks` says), `"generic"` all real ones.

    Raises:
        RLError: an option has a value that is not among those above.
        MissingKeyError: an entry is not there.
        ShapeError: log-probs or advantages do not align with the tokens.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> from rl.llm.policies.transformers import TransformersWrapper
        >>> from rl.llm.testing import tiny_model, tiny_tokenizer
        >>> tokenizer = tiny_tokenizer()
        >>> policy = TransformersWrapper(
        ...     tiny_model(tokenizer), tokenizer=tokenizer, input_mode="text",
        ...     generate_kwargs={"max_new_tokens": 4},
        ... )
        >>> data = policy(TensorDict({"text": {"prompt": ["2+2=", "2+2="]}}, batch_size=[2]))
        >>> data["advantage"] = torch.tensor([1.0, -1.0]).view(2, 1, 1)
        >>> loss = GRPOLoss(policy)(data)
        >>> loss.total().backward()
        >>> loss.ESS
        tensor(1.0000)
    """

    @dataclass(frozen=True)
    class _AcceptedKeys:
        """Names of the entries that `set_keys` changes."""

        tokens: NestedKey = ("tokens", "full")
        sample_log_prob: NestedKey = ("log_probs", "full")
        advantage: NestedKey = "advantage"
        ref_log_probs: NestedKey = ("next", "ref_log_probs", "full")

    def __init__(  # noqa: PLR0913
        self,
        actor_network: LLMWrapperBase,
        *,
        clip_epsilon: float | tuple[float, float] = 0.2,
        kl_mask_threshold: float | None = None,
        aggregation: Aggregation = "token_mean",
        entropy_bonus: bool = True,
        entropy_coeff: float = 0.01,
        kl_to_ref_coeff: float | None = None,
        kl_to_inference_coeff: float | None = None,
        device: torch.device | str | None = None,
        masking_strategy: MaskingStrategy = "sft",
    ) -> None:
        super().__init__()
        _one_of("aggregation", aggregation, ("token_mean", "prompt_mean", "none"))
        _one_of("masking_strategy", masking_strategy, ("sft", "rlhf", "generic"))
        low, high = clip_epsilon if isinstance(clip_epsilon, tuple) else (clip_epsilon,) * 2
        if not (0 <= low < 1 and high >= 0):
            raise RLError(
                f"`clip_epsilon` is {clip_epsilon}: give one number in [0, 1), or (low, high) with "
                "low in [0, 1) and high at least 0."
            )
        self.convert_to_functional(actor_network, "actor_network")
        self.aggregation, self.masking_strategy = aggregation, masking_strategy
        self.entropy_bonus = entropy_bonus
        self.kl_mask_threshold = kl_mask_threshold
        device = device or next(actor_network.parameters()).device
        coefficients = {
            "clip_low": low,
            "clip_high": high,
            "entropy_coeff": entropy_coeff if entropy_bonus else None,
            "kl_to_ref_coeff": kl_to_ref_coeff,
            "kl_to_inference_coeff": kl_to_inference_coeff,
        }
        for name, value in coefficients.items():
            self.register_coeff_buffer(name, value, device=device, dtype=torch.float32)

    def _read_keys(self) -> list[NestedKey]:
        keys = self.tensor_keys
        masks = self.actor_network.mask_keys(self.masking_strategy)
        read = [keys.tokens, *masks, keys.sample_log_prob, keys.advantage]
        return read if self.kl_to_ref_coeff is None else [*read, keys.ref_log_probs]

    def _written_keys(self) -> list[str]:
        optional = {
            "masked_fraction": self.kl_mask_threshold is not None,
            "entropy": self.entropy_bonus,
            "kl_to_inference": self.kl_to_inference_coeff is not None,
            "kl_to_ref": self.kl_to_ref_coeff is not None,
        }
        absent = {name for name, present in optional.items() if not present}
        names = [field.name for field in fields(GRPOLossOutput)]
        return [name for name in names if name.removeprefix("loss_") not in absent]

    def forward(
        self, tensordict: TensorDictBase | None = None, **tensors: Tensor
    ) -> GRPOLossOutput | tuple[Tensor, ...]:
        """Return the losses and metrics of a batch.

        Args:
            tensordict: the batch, of any batch size.
            **tensors: or its entries `[B, ...]`, named as `in_keys` joined by `_`, such as
                `tokens_full`; then a tuple in the order of `out_keys` comes back.
        """
        if tensordict is None:
            output = self._losses(self._named(tensors))
            return tuple(output.get(key) for key in self.out_keys)
        return self._losses(tensordict.reshape(-1))

    def _named(self, tensors: dict[str, Tensor]) -> TensorDict:
        keys = {"_".join((key,) if isinstance(key, str) else key): key for key in self.in_keys}
        data = TensorDict(batch_size=[len(next(iter(tensors.values()), ()))])
        for name, tensor in tensors.items():
            if name not in keys:
                raise RLError(f"`GRPOLoss` reads no `{name}`. {nearest(name, keys)}")
            data.set(keys[name], tensor)
        return data

    def _losses(self, data: TensorDictBase) -> GRPOLossOutput:
        dist = self.actor_network.get_masked_dist(data, self.masking_strategy)
        mask = dist.mask
        tokens = self._read(data, "tokens", mask)
        log_prob = dist.log_prob(tokens)
        old_log_prob = self._read(data, "sample_log_prob", mask).masked_fill(~mask, 0.0)
        advantage = self._advantage(data, mask)
        log_weight = log_prob - old_log_prob
        metrics = _data_metrics(log_weight.detach(), advantage, mask)
        if self.kl_mask_threshold is not None:
            near = log_weight.detach().square() / 2 <= self.kl_mask_threshold
            metrics["masked_fraction"] = _mean((~near).float(), mask)
            mask = mask & near
        objective, clipped = clipped_token_objective(
            log_weight, advantage, self.clip_low, self.clip_high
        )
        output = {
            "loss_objective": aggregate_tokens(-objective, mask, self.aggregation),
            "clip_fraction": _mean(clipped.float(), mask),
            **metrics,
        }
        if self.entropy_bonus:
            self._add(output, "entropy", dist.entropy(), mask, -self.entropy_coeff)
        if self.kl_to_inference_coeff is not None:
            divergence = k3_kl_token_estimate(old_log_prob, log_prob)
            self._add(output, "kl_to_inference", divergence, mask, self.kl_to_inference_coeff)
        if self.kl_to_ref_coeff is not None:
            reference = self._read(data, "ref_log_probs", mask).masked_fill(~mask, 0.0)
            divergence = k3_kl_token_estimate(reference, log_prob)
            self._add(output, "kl_to_ref", divergence, mask, self.kl_to_ref_coeff)
        return GRPOLossOutput(**{k: v for k, v in output.items() if k in self.out_keys})

    def _add(
        self, output: dict[str, Tensor], name: str, value: Tensor, mask: Tensor, coeff: Tensor
    ) -> None:
        output[name] = _mean(value.detach(), mask)
        output[f"loss_{name}"] = coeff * aggregate_tokens(value, mask, self.aggregation)

    def _read(self, data: TensorDictBase, name: str, mask: Tensor) -> Tensor:
        key = getattr(self.tensor_keys, name)
        value = read_padded(data, key)
        if value is None:
            raise MissingKeyError(
                f"`GRPOLoss` reads `{key}`, which is not there: {_CAUSES[name]}, or name another "
                f"key with `set_keys({name}=...)`."
            )
        if value.shape != mask.shape:
            raise ShapeError(
                f"`{key}` has shape {list(value.shape)}, expected {list(mask.shape)}: one entry "
                "per token of the text, padded as the tokens are, no trailing dimension."
            )
        return value.to(mask.device)

    def _advantage(self, data: TensorDictBase, mask: Tensor) -> Tensor:
        key = self.tensor_keys.advantage
        advantage = data.get(key, None)
        if advantage is None:
            raise MissingKeyError(
                f"`GRPOLoss` reads `{key}`, which is not there: {_CAUSES['advantage']}, or name "
                "another key with `set_keys(advantage=...)`."
            )
        rows, length = mask.shape
        if advantage.shape not in {(rows, 1), (rows, 1, 1), (rows, length, 1)}:
            raise ShapeError(
                f"`{key}` has shape {list(advantage.shape)}, expected {[rows, 1, 1]} (one per "
                f"text) or {[rows, length, 1]} (one per token of `tokens.full`)."
            )
        advantage = advantage.to(mask.device).reshape(rows, -1)
        return advantage.expand(rows, length)


_CAUSES: dict[str, str] = {
    "tokens": "let the policy write `tokens`",
    "sample_log_prob": "generate with `return_log_probs=True`",
    "advantage": "give the buffer `MCAdvantage(grpo_size=...)` as its transform",
    "ref_log_probs": "score the text with the reference model first",
}


def _data_metrics(log_weight: Tensor, advantage: Tensor, mask: Tensor) -> dict[str, Any]:
    counted = mask.any(-1)
    idle = (advantage.masked_fill(~mask, 0.0) == 0).all(-1) & counted
    return {
        "kl_approx": _mean(-log_weight, mask),
        "ESS": effective_sample_fraction(log_weight, mask),
        "zero_advantage_fraction": idle.sum() / counted.sum().clamp_min(1),
    }


def _mean(value: Tensor, mask: Tensor) -> Tensor:
    return aggregate_tokens(value, mask, "token_mean")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise RLError(f"`{name}` is {value!r}. {nearest(str(value), known)}")
