"""`TextCodec`: reads what a policy is given (history, text or tokens) as rows of token ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from tensordict import TensorDictBase, is_tensor_collection
from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.errors import MissingKeyError, RLError, ShapeError, nearest
from rl.llm.history import History, encode_chat, get_chat_template
from rl.llm.policies.padding import pad_rows, row_mask, unpad_rows
from rl.llm.policies.ragged import is_ragged, read_rows

__all__ = ["InputMode", "Scored", "TextCodec", "check_mode", "template_source"]

InputMode = Literal["history", "text", "tokens"]


@dataclass(frozen=True)
class Scored:
    """A text to score: `tokens` `[B, L]`, which of them are real, and which the assistant wrote."""

    tokens: Tensor
    attention_mask: Tensor
    assistant_mask: Tensor | None = None
    text: list[str] | None = None


@dataclass(frozen=True)
class TextCodec:
    """The tokenizer with everything that decides how a text becomes tokens.

    Attributes:
        tokenizer: a transformers tokenizer; None works for tokens alone.
        input_mode: what is read.
        input_key: where it is read.
        attention_mask_key: mask of the tokens that are read.
        chat_template: Jinja source; the tokenizer's own by default.
        tokenizer_kwargs: passed to the tokenizer when it encodes `text`.
    """

    tokenizer: Any
    input_mode: InputMode
    input_key: NestedKey
    attention_mask_key: NestedKey
    chat_template: str | None = None
    tokenizer_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def prompts(self, tensordict: TensorDictBase) -> list[Tensor]:
        """Return the prompt tokens of each row of a TensorDict `[B]`."""
        if self.input_mode == "tokens":
            return self._token_rows(tensordict)
        if self.input_mode == "text":
            return [self._encode(text)[0] for text in self._texts(tensordict)]
        return [
            self._encode_chat(chat, add_generation_prompt=True)[0]
            for chat in self._history(tensordict).to_chats()
        ]

    def scored(self, tensordict: TensorDictBase, prompt_text_key: NestedKey) -> Scored:
        """Return the whole texts of a TensorDict `[B]`, padded on the right if they are ragged."""
        if self.input_mode == "tokens":
            return self._scored_tokens(tensordict)
        if self.input_mode == "text":
            texts = self._texts(tensordict)
            prompts = tensordict.get(prompt_text_key, None)
            prompts = [""] * len(texts) if prompts is None else prompts.tolist()
            rows = [
                self._encode(text, len(prompt)) for text, prompt in zip(texts, prompts, strict=True)
            ]
            return self._pad(rows, texts, known=prompts[0] != "")
        chats = self._history(tensordict).to_chats()
        rows = [self._encode_chat(chat, add_generation_prompt=False) for chat in chats]
        return self._pad(rows, None, known=True)

    def decode(self, row: Tensor, *, skip_special_tokens: bool = False) -> str:
        """Return the text of one row of tokens."""
        return self.tokenizer.decode(row.tolist(), skip_special_tokens=skip_special_tokens)

    def _pad(
        self, rows: list[tuple[Tensor, Tensor]], texts: list[str] | None, *, known: bool
    ) -> Scored:
        ids, assistant = zip(*rows, strict=True)
        return Scored(
            pad_rows(ids, self.pad_token_id, "right"),
            row_mask(ids, "right"),
            pad_rows(assistant, False, "right") if known else None,
            texts or [self.decode(row) for row in ids],
        )

    @property
    def pad_token_id(self) -> int:
        """The token that fills rows; its value never matters, the masks say where it stands."""
        ids = (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id) if self.tokenizer else ()
        return next((token for token in ids if token is not None), 0)

    # ---------------------------------------------------------------- reading

    def _read(self, tensordict: TensorDictBase, key: NestedKey) -> Any:  # noqa: ANN401
        value = tensordict.get(key, None)
        if value is None:
            present = {str(k): k for k in tensordict.keys(True, True, is_leaf=_is_leaf)}
            raise MissingKeyError(
                f"`{key}` is not there; the policy has input_mode={self.input_mode!r}. Keys "
                f"present: {sorted(present)}. {nearest(str(key), present)} Write it, or pass "
                "`input_key=`."
            )
        return value

    def _history(self, tensordict: TensorDictBase) -> History:
        history = self._read(tensordict, self.input_key)
        if not isinstance(history, History) or history.ndim != 2:
            given = getattr(history, "shape", type(history).__name__)
            raise ShapeError(
                f"`{self.input_key}` is {given}, expected a History of shape [B, T]: build it with "
                "`History.from_chats([[{'role': 'user', 'content': ...}], ...])`."
            )
        return history

    def _texts(self, tensordict: TensorDictBase) -> list[str]:
        value = self._read(tensordict, self.input_key)
        texts = value if isinstance(value, list) else value.tolist()
        texts = [texts] * tensordict.shape[0] if isinstance(texts, str) else texts
        if not all(isinstance(text, str) for text in texts):
            raise ShapeError(
                f"`{self.input_key}` holds {type(texts[0]).__name__}, expected one str per row."
            )
        return texts

    def _token_rows(self, tensordict: TensorDictBase) -> list[Tensor]:
        if is_ragged(tensordict, self.input_key):
            return read_rows(tensordict, self.input_key)
        tokens = self._read(tensordict, self.input_key)
        return unpad_rows(tokens, self._attention_mask(tensordict, tokens))

    def _scored_tokens(self, tensordict: TensorDictBase) -> Scored:
        if is_ragged(tensordict, self.input_key):
            rows = read_rows(tensordict, self.input_key)
            return Scored(pad_rows(rows, self.pad_token_id, "right"), row_mask(rows, "right"))
        tokens = self._read(tensordict, self.input_key)
        return Scored(tokens, self._attention_mask(tensordict, tokens))

    def _attention_mask(self, tensordict: TensorDictBase, tokens: Tensor) -> Tensor:
        mask = tensordict.get(self.attention_mask_key, None)
        if mask is None:
            return torch.ones_like(tokens, dtype=torch.bool)
        if mask.shape[-1] > tokens.shape[-1] and self.input_key[-1] == "prompt":
            mask = mask[..., : tokens.shape[-1]]  # a mask over `full`, which begins with the prompt
        if mask.shape != tokens.shape:
            raise ShapeError(
                f"`{self.attention_mask_key}` has shape {list(mask.shape)}, expected "
                f"{list(tokens.shape)} as `{self.input_key}`: pass the mask of these tokens."
            )
        return mask.bool()

    def _encode(self, text: str, prompt_length: int = 0) -> tuple[Tensor, Tensor]:
        options = dict(self.tokenizer_kwargs)
        encoding = self.tokenizer(text, return_offsets_mapping=True, **options)
        ids = torch.tensor(encoding["input_ids"], dtype=torch.long)
        starts = [start for start, _ in encoding["offset_mapping"]]
        return ids, torch.tensor(starts, dtype=torch.long) >= prompt_length

    def _encode_chat(
        self, chat: list[dict[str, Any]], *, add_generation_prompt: bool
    ) -> tuple[Tensor, Tensor]:
        return encode_chat(
            chat,
            self.tokenizer,
            chat_template=self.chat_template,
            add_generation_prompt=add_generation_prompt,
        )


def _is_leaf(kind: type) -> bool:
    return not is_tensor_collection(kind) or kind.__name__ in ("NonTensorData", "NonTensorStack")


def check_mode(input_mode: str, tokenizer: Any) -> None:  # noqa: ANN401
    """Raise unless the mode is known and has the tokenizer that it needs."""
    modes = ("history", "text", "tokens")
    if input_mode not in modes:
        raise RLError(f"`input_mode` is {input_mode!r}. {nearest(str(input_mode), modes)}")
    if tokenizer is None and input_mode != "tokens":
        raise RLError(
            f"`input_mode={input_mode!r}` needs a tokenizer: pass `tokenizer=`, or tokens."
        )


def template_source(chat_template_name: str | None, chat_template: str | None) -> str | None:
    """Return the Jinja source that the two arguments ask for."""
    if chat_template_name is not None:
        return get_chat_template(chat_template_name).template
    return chat_template
