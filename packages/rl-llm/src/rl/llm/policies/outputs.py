"""What a language-model policy writes: texts, tokens, masks and log-probs.

Padded layout, for a batch of B rows: the prompt is padded on the left to P tokens, the response on
the right to R tokens, and `full` is one behind the other, `[B, P + R]`.
"""

from __future__ import annotations

from tensordict import TensorClass
from torch import Tensor

__all__ = ["LogProbs", "Masks", "Text", "Tokens"]


class Text(TensorClass["nocast"]):
    """Texts of one exchange; special tokens such as the end-of-turn one are in the response.

    Attributes:
        prompt: text before the response.
        response: text that the model generated.
        full: prompt and response.

    Example:
        >>> Text(prompt="2+2=", response="4", full="2+2=4").response
        '4'
    """

    prompt: str | None = None
    response: str | None = None
    full: str | None = None


class Tokens(TensorClass["nocast"]):
    """Token ids of one exchange.

    Attributes:
        prompt: `[*B, P]` int64.
        response: `[*B, R]` int64, up to and including the end-of-turn token.
        full: `[*B, P + R]` int64.
        padded: `[*B]` bool, whether rows are padded to one length.

    Example:
        >>> import torch
        >>> Tokens(full=torch.zeros(2, 5, dtype=torch.long), batch_size=[2]).full.shape
        torch.Size([2, 5])
    """

    prompt: Tensor | None = None
    response: Tensor | None = None
    full: Tensor | None = None
    padded: Tensor | None = None


class Masks(TensorClass["nocast"]):
    """Masks over `tokens.full`.

    Attributes:
        all_attention_mask: `[*B, P + R]` bool, true where there is a token, false at padding.
        all_assistant_mask: `[*B, P + R]` bool, true where the assistant wrote the token.
        padded: `[*B]` bool.

    Example:
        >>> import torch
        >>> Masks(all_attention_mask=torch.ones(2, 5, dtype=torch.bool), batch_size=[2]).shape
        torch.Size([2])
    """

    all_attention_mask: Tensor | None = None
    all_assistant_mask: Tensor | None = None
    padded: Tensor | None = None


class LogProbs(TensorClass["nocast"]):
    """Log-probs of the tokens, in nats; zero at padding and at a text's first token.

    Attributes:
        prompt: `[*B, P]` float; zero when the policy generated: it scores what it writes only.
        response: `[*B, R]` float.
        full: `[*B, P + R]` float.
        padded: `[*B]` bool.

    Example:
        >>> import torch
        >>> LogProbs(full=torch.zeros(2, 5), batch_size=[2]).full.sum()
        tensor(0.)
    """

    prompt: Tensor | None = None
    response: Tensor | None = None
    full: Tensor | None = None
    padded: Tensor | None = None
