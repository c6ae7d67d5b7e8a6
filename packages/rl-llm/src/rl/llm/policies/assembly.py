"""From sampled responses to `Tokens`, `Masks` and `LogProbs`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from tensordict import TensorClass, lazy_stack
from torch import Tensor

from rl.llm.policies.outputs import LogProbs, Masks, Tokens
from rl.llm.policies.padding import pad_rows, row_mask

__all__ = ["Assembled", "Sampled", "padded_output", "ragged_output"]

Assembled = tuple[Tokens, Masks, LogProbs]
T = TypeVar("T", bound=TensorClass)


@dataclass(frozen=True)
class Sampled:
    """A response: `tokens` `[R]`, their `log_probs` `[R]`, whether it ended with a stop token."""

    tokens: Tensor
    log_probs: Tensor
    is_complete: bool


def padded_output(prompts: Sequence[Tensor], sampled: Sequence[Sampled], pad: int) -> Assembled:
    """Return the exchange as tensors: prompts padded on the left, responses on the right.

    Example:
        >>> answer = Sampled(torch.tensor([7]), torch.tensor([-1.0]), True)
        >>> tokens, masks, log_probs = padded_output([torch.tensor([5, 6])], [answer], 0)
        >>> tokens.full, masks.all_assistant_mask, log_probs.full
        (tensor([[5, 6, 7]]), tensor([[False, False,  True]]), tensor([[ 0.,  0., -1.]]))
    """
    responses = [row.tokens for row in sampled]
    prompt, response = pad_rows(prompts, pad, "left"), pad_rows(responses, pad, "right")
    is_prompt, is_response = row_mask(prompts, "left"), row_mask(responses, "right")
    scores = pad_rows([row.log_probs for row in sampled], 0.0, "right")
    blank = torch.zeros_like(prompt, dtype=scores.dtype)
    size = [len(prompts)]
    padded = torch.ones(size, dtype=torch.bool, device=prompt.device)
    attention = torch.cat([is_prompt, is_response], -1)
    assistant = torch.cat([torch.zeros_like(is_prompt), is_response], -1)
    return (
        Tokens(prompt, response, torch.cat([prompt, response], -1), padded, batch_size=size),
        Masks(attention, assistant, padded, batch_size=size),
        LogProbs(blank, scores, torch.cat([blank, scores], -1), padded, batch_size=size),
    )


def ragged_output(
    prompts: Sequence[Tensor], sampled: Sequence[Sampled], layout: torch.layout | None
) -> Assembled:
    """Return the exchange without padding: lazy stacks, or nested tensors of `layout`.

    Example:
        >>> answers = [Sampled(torch.ones(n).long(), torch.zeros(n), True) for n in (1, 2)]
        >>> tokens, _, _ = ragged_output([torch.tensor([5])] * 2, answers, None)
        >>> [row.full.tolist() for row in tokens.unbind(0)]
        [[5, 1], [5, 1, 1]]
    """
    rows = [_row(prompt, row) for prompt, row in zip(prompts, sampled, strict=True)]
    tokens, masks, log_probs = (list(column) for column in zip(*rows, strict=True))
    if layout is None:
        return lazy_stack(tokens), lazy_stack(masks), lazy_stack(log_probs)
    return _nest(tokens, layout), _nest(masks, layout), _nest(log_probs, layout)


def _row(prompt: Tensor, row: Sampled) -> Assembled:
    full = torch.cat([prompt, row.tokens])
    assistant = torch.arange(len(full), device=full.device) >= len(prompt)
    padded = torch.zeros((), dtype=torch.bool, device=full.device)
    blank = torch.zeros_like(prompt, dtype=row.log_probs.dtype)
    return (
        Tokens(prompt, row.tokens, full, padded),
        Masks(torch.ones_like(assistant), assistant, padded),
        LogProbs(blank, row.log_probs, torch.cat([blank, row.log_probs]), padded),
    )


def _nest(rows: list[T], layout: torch.layout) -> T:
    nested = {
        name: torch.nested.as_nested_tensor([row.get(name) for row in rows], layout=layout)
        for name, _ in rows[0].items()
        if name != "padded"
    }
    padded = torch.stack([row.padded for row in rows])
    return type(rows[0])(**nested, padded=padded, batch_size=[len(rows)])
