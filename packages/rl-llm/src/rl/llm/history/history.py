"""`History`: a conversation, or a batch of them, as a tensorclass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tensordict import LazyStackedTensorDict, TensorClass, TensorDict, lazy_stack
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rl.core.errors import NotRegisteredError, ShapeError
from rl.core.specs import Composite, NonTensor
from rl.llm.history.rendering import ChatTokenizer, encode_chat, render_chat
from rl.llm.history.templates import Message, get_chat_template

__all__ = ["ChatHistory", "History"]


class History(TensorClass["nocast"]):
    r"""Messages of a conversation; the last batch dimension counts turns.

    A message has batch size `[]`, a conversation `[T]`, a batch of conversations `[B, T]`
    (or `[B, -1]` when they differ in length).

    Attributes:
        role: who speaks, such as `"system"`, `"user"`, `"assistant"`.
        content: what is said.
        is_complete: whether the turn ended with its end-of-turn token.
        tool_calls: calls that the message asks for.
        tool_responses: what the calls returned.

    Example:
        >>> chat = History.from_chats([[{"role": "user", "content": "hi"}]])
        >>> chat.shape, chat[0, 0].content
        (torch.Size([1, 1]), 'hi')
    """

    role: str
    content: str
    is_complete: bool = True
    tool_calls: list[str] | None = None
    tool_responses: list[str] | None = None

    @classmethod
    def from_chats(cls, chats: Sequence[Any]) -> History:
        """Return the History of one conversation (a list of messages) or of a batch of them.

        Args:
            chats: dicts with `role`, `content` and optionally the other fields; or a list of
                such lists.

        Raises:
            ShapeError: there is no message.
        """
        if not len(chats):
            raise ShapeError("A conversation has no message: give at least one.")
        if isinstance(chats[0], dict):
            return lazy_stack([cls(batch_size=[], **message) for message in chats])
        return lazy_stack([cls.from_chats(chat) for chat in chats])

    @classmethod
    def from_text(
        cls, text: str | Sequence[str], chat_template_name: str = "chatml_format"
    ) -> History:
        r"""Read conversations back from their text.

        Args:
            text: one text or a list of them.
            chat_template_name: the template that printed it.

        Raises:
            NotRegisteredError: the template is unknown or has no inverse parser.
            ValueError: the text was not printed by that template.

        Example:
            >>> chat = History.from_text("<|im_start|>user\nhi<|im_end|>\n<|im_start|>bot\nyo")
            >>> chat[0].is_complete, chat[1].is_complete
            (True, False)
        """
        parser = get_chat_template(chat_template_name).inverse_parser
        if parser is None:
            raise NotRegisteredError(
                f"Chat template `{chat_template_name}` cannot be read back: register it with "
                "`add_chat_template(..., inverse_parser=...)`."
            )
        return cls.from_chats(parser(text) if isinstance(text, str) else [parser(t) for t in text])

    @classmethod
    def default_spec(cls, shape: Sequence[int] = (-1,)) -> Composite:
        """Return the spec of a History of batch size `shape`."""
        fields = {
            "role": NonTensor(shape=shape, example_data="user"),
            "content": NonTensor(shape=shape, example_data="hello"),
            "is_complete": NonTensor(shape=shape, example_data=True),
        }
        return Composite(fields, shape=shape)

    def to_chats(self) -> list[Any]:
        """Return the messages as dicts, nested as the batch is; the inverse of `from_chats`."""
        if self.ndim == 0:
            return [self._message()]
        if self.ndim == 1:
            return [self[turn]._message() for turn in range(self.shape[0])]
        return [self[row].to_chats() for row in range(self.shape[0])]

    def _message(self) -> Message:
        message = {
            "role": self.role,
            "content": self.content,
            "is_complete": self.is_complete,
            "tool_calls": self.tool_calls,
            "tool_responses": self.tool_responses,
        }
        return {name: value for name, value in message.items() if value is not None}

    def append(self, history: History, *, inplace: bool = True) -> History:
        """Add one turn: a message `[]` (or a batch `[B]` of them) behind `[T]` (or `[B, T]`).

        Args:
            history: the message; one of batch size `[]` is added to every conversation.
            inplace: change this History; otherwise return another one.

        Raises:
            ShapeError: the batch of messages differs from the batch of conversations.
        """
        target = self._target(inplace)
        if history.ndim == 0 and target.ndim > 1:
            history = lazy_stack([history] * target.shape[0])
        return target._add(history.unsqueeze(-1) if history.ndim == 0 else _turns(history, target))

    def extend(self, history: History, *, inplace: bool = True) -> History:
        """Add several turns: `[T']` behind `[T]`, or `[B, T']` behind `[B, T]`.

        Raises:
            ShapeError: the batches differ.
        """
        return self._target(inplace)._add(history)

    def _target(self, inplace: bool) -> History:
        if self.ndim == 0:
            raise ShapeError("A single message cannot grow: make it a chat with `unsqueeze(0)`.")
        if not inplace:
            return History.from_chats(self.to_chats())
        # a dense stack has no room for another turn: it cannot grow in place
        if not isinstance(self._tensordict, LazyStackedTensorDict):
            raise ShapeError(
                "This History is a dense stack and cannot grow in place: pass `inplace=False`, or "
                "build it with `History.from_chats` or `lazy_stack`."
            )
        return self

    def _add(self, history: History) -> History:
        if history.ndim != self.ndim or history.shape[:-1] != self.shape[:-1]:
            raise ShapeError(
                f"`history` has shape {list(history.shape)}, expected {[*self.shape[:-1], 'T']}: "
                "one row of turns per conversation."
            )
        if self.ndim > 1:
            for row in range(self.shape[0]):
                self[row]._add(history[row])
            return self
        for turn in range(history.shape[0]):
            self._tensordict.insert(self.shape[0], history[turn]._tensordict)
        return self

    def apply_chat_template(
        self,
        tokenizer: ChatTokenizer,
        *,
        add_generation_prompt: bool = True,
        chat_template: str | None = None,
        chat_template_name: str | None = None,
        tokenize: bool = False,
        padding_side: str = "right",
        **kwargs: Any,
    ) -> str | list[str] | TensorDict:
        """Print the conversations, as text or as tokens with the mask of the assistant's tokens.

        Args:
            tokenizer: a transformers tokenizer.
            add_generation_prompt: end with the words that ask the assistant to speak.
            chat_template: Jinja source; the tokenizer's own by default.
            chat_template_name: a registered template instead.
            tokenize: return tokens instead of text.
            padding_side: where shorter conversations are padded.
            **kwargs: variables of the template, such as `tools`.

        Returns:
            A text, a list of them for a batch, or, with `tokenize`, a TensorDict with `input_ids`
            `[*B, L]` int64, `attention_mask` and `assistant_masks` `[*B, L]` bool.
        """
        if chat_template_name is not None:
            chat_template = get_chat_template(chat_template_name).template
        options = {
            "chat_template": chat_template,
            "add_generation_prompt": add_generation_prompt,
            **kwargs,
        }
        if self.ndim > 2:
            raise ShapeError(
                f"The History has shape {list(self.shape)}, expected [T] or [B, T]: "
                "flatten the batch first."
            )
        if not tokenize:
            if self.ndim < 2:
                return render_chat(self.to_chats(), tokenizer, **options)
            return [render_chat(chat, tokenizer, **options) for chat in self.to_chats()]
        chats = self.to_chats() if self.ndim == 2 else [self.to_chats()]
        rows = [encode_chat(chat, tokenizer, **options) for chat in chats]
        batch = _pad_rows(rows, tokenizer.pad_token_id or 0, padding_side)
        return batch if self.ndim == 2 else batch[0]


def _turns(history: History, target: History) -> History:
    """Return `[B]` messages as `[B, 1]`; `[1]` behind one conversation stays."""
    if target.ndim == 1 or history.ndim == target.ndim:
        return history
    return lazy_stack([history[row].unsqueeze(0) for row in range(history.shape[0])])


def _pad_rows(rows: list[tuple[Tensor, Tensor]], pad: int, side: str) -> TensorDict:
    ids, assistant = zip(*rows, strict=True)
    columns = {
        "input_ids": pad_sequence(list(ids), True, pad, side),
        "attention_mask": pad_sequence(
            [torch.ones_like(row, dtype=torch.bool) for row in ids], True, False, side
        ),
        "assistant_masks": pad_sequence(list(assistant), True, False, side),
    }
    return TensorDict(columns, batch_size=[len(rows)])


class ChatHistory(TensorClass["nocast"]):
    """The three Histories of one exchange, each `[*B, T]`.

    Attributes:
        prompt: what the model was asked.
        response: what it answered, one assistant turn.
        full: the prompt with the answer behind it.

    Example:
        >>> prompt = History.from_chats([[{"role": "user", "content": "hi"}]])
        >>> ChatHistory(prompt=prompt, batch_size=[1]).response is None
        True
    """

    prompt: History | None = None
    response: History | None = None
    full: History | None = None
