"""From messages to text and tokens, with the mask of the tokens that the assistant wrote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from rl.core.errors import RLError
from rl.llm.history.templates import Message

__all__ = ["ChatTokenizer", "EncodedChat", "encode_chat", "render_chat"]

#: Token ids and, token by token, whether the assistant wrote it; both `[L]`.
EncodedChat = tuple[Tensor, Tensor]


class ChatTokenizer(Protocol):
    """What we need of a transformers tokenizer."""

    eos_token: str | None
    chat_template: str | None

    def __call__(self, text: str, **kwargs: Any) -> Any:  # noqa: ANN401
        """Encode one text."""

    def apply_chat_template(self, conversation: list[Message], **kwargs: Any) -> Any:  # noqa: ANN401
        """Render one conversation."""


def render_chat(
    messages: Sequence[Message],
    tokenizer: ChatTokenizer,
    *,
    chat_template: str | None = None,
    add_generation_prompt: bool = False,
    **kwargs: Any,
) -> str:
    """Return the text of one conversation.

    Raises:
        RLError: neither the tokenizer nor the caller has a chat template.
    """
    if chat_template is None and not tokenizer.chat_template:
        raise RLError(
            "The tokenizer has no chat template: pass `chat_template_name='chatml_format'` or a "
            "Jinja source as `chat_template=`."
        )
    return tokenizer.apply_chat_template(
        list(messages),
        chat_template=chat_template,
        add_generation_prompt=add_generation_prompt,
        tokenize=False,
        **kwargs,
    )


def encode_chat(
    messages: Sequence[Message],
    tokenizer: ChatTokenizer,
    *,
    chat_template: str | None = None,
    add_generation_prompt: bool = False,
    **kwargs: Any,
) -> EncodedChat:
    """Return the tokens of one conversation and which of them the assistant wrote.

    The mask needs no `{% generation %}` marks: message i is what the text of messages 0..i adds
    to the prompt that asks for it. The end-of-turn token belongs to the message (a model has to
    produce it), the white space that a template puts after it does not.

    Raises:
        RLError: the text of the first messages is not a prefix of the whole text.
    """
    kwargs["chat_template"] = chat_template
    text = render_chat(messages, tokenizer, add_generation_prompt=add_generation_prompt, **kwargs)
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    spans = [
        _assistant_span(messages, index, text, tokenizer, kwargs)
        for index, message in enumerate(messages)
        if message["role"] == "assistant"
    ]
    offsets = torch.tensor(encoding["offset_mapping"], dtype=torch.long).reshape(-1, 2)
    mask = torch.zeros(len(offsets), dtype=torch.bool)
    for start, end in spans:
        mask |= (offsets[:, 0] >= start) & (offsets[:, 1] <= end) & (offsets[:, 1] > start)
    return torch.tensor(encoding["input_ids"], dtype=torch.long), mask


def _assistant_span(
    messages: Sequence[Message],
    index: int,
    text: str,
    tokenizer: ChatTokenizer,
    kwargs: dict[str, Any],
) -> tuple[int, int]:
    """Return the characters of `text` that message `index` and its end-of-turn token cover."""
    prompt = render_chat(messages[:index], tokenizer, add_generation_prompt=True, **kwargs)
    upto = render_chat(messages[: index + 1], tokenizer, **kwargs)
    if not (upto.startswith(prompt) and text.startswith(upto)):
        raise RLError(
            f"The chat template rewrites earlier turns (message {index} changes the text before "
            "it), so the assistant's tokens cannot be told apart: pass `chat_template_name="
            "'chatml_format'`, or a template that only appends."
        )
    written = upto[len(prompt) :]
    eos = tokenizer.eos_token
    end = written.rfind(eos) + len(eos) if eos and eos in written else len(written)
    return len(prompt), len(prompt) + end
