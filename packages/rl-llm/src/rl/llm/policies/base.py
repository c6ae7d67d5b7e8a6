"""`LLMWrapperBase`: the contract of every language-model policy, whatever engine runs the model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from tensordict import TensorDict, TensorDictBase, lazy_stack
from tensordict.nn import TensorDictModuleBase
from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.errors import MissingKeyError, RLError, nearest
from rl.llm.history import ChatHistory, History
from rl.llm.policies.assembly import Sampled, padded_output, ragged_output
from rl.llm.policies.outputs import LogProbs, Masks, Text, Tokens
from rl.llm.policies.ragged import is_ragged, read_padded, read_rows
from rl.llm.policies.text_codec import (
    InputMode,
    Scored,
    TextCodec,
    check_mode,
    template_source,
)
from rl.llm.policies.token_distribution import TokenDistribution, predicted_positions

__all__ = ["LLMWrapperBase", "MaskingStrategy"]

#: Which tokens count: those behind the prompt, those the assistant wrote, or every real one.
MaskingStrategy = Literal["sft", "rlhf", "generic"]


class LLMWrapperBase(TensorDictModuleBase):
    """A language model as a TensorDict module that generates, or scores text that is given.

    Tokens come first: a generated text is scored from the tokens that were sampled, never from
    their text encoded again.

    An engine subclass writes `_generate_rows` and `_next_logits`.

    Reads, with `generate=True`:
        (history, "prompt"): History `[*B, T]`, or
        (text, "prompt"): one text per row, or
        (tokens, "prompt"): `[*B, P]` int64, with the mask at `attention_mask_key`. By `input_mode`.
    Reads, with `generate=False`:
        The same under `"full"`.
    Writes:
        history: `ChatHistory`, in history mode when generating.
        text: `Text`, where there is a tokenizer.
        tokens: `Tokens`.
        masks: `Masks`; when generating the assistant mask holds the new tokens only.
        log_probs: `LogProbs`.

    Args:
        tokenizer: a transformers tokenizer; optional in tokens mode.
        input_mode: `"history"`, `"text"` or `"tokens"`.
        input_key: where the input is; by default the group of the mode with `"prompt"` (to
            generate) or `"full"` (to score).
        attention_mask_key: mask of the input tokens; absent means that every token is real.
        generate: generate a response; otherwise score.
        generate_kwargs: how the engine samples.
        tokenizer_kwargs: how `text` is encoded.
        pad_output: write padded tensors; otherwise lazy stacks whose rows keep their lengths.
        inplace: None or True writes into the TensorDict given, False into a new one.
        device: of what is written; by default that of the TensorDict given, else the model's.
        layout: with `pad_output=False`, write nested tensors of this layout (`torch.jagged`).
        num_samples: responses per prompt; the output has batch size `[*B, num_samples]`.
        chat_template_name: a registered template.
        chat_template: Jinja source; the tokenizer's own by default.
        return_log_probs: write `log_probs` when generating; True by default.
        history_key: group of the Histories.
        text_key: group of the texts.
        tokens_key: group of the tokens.
        masks_key: group of the masks.
        log_probs_key: group of the log-probs.

    Raises:
        RLError: the mode is unknown, has no tokenizer, or two arguments exclude each other.

    Example:
        >>> class Uniform(LLMWrapperBase):
        ...     "Scores every text as if its four tokens were equally likely."
        ...     temperature = 1.0
        ...     def _next_logits(self, tokens, attention_mask):
        ...         return torch.zeros(*tokens.shape, 4)
        ...     def _model_device(self):
        ...         return torch.device("cpu")
        >>> policy = Uniform(input_mode="tokens", generate=False)
        >>> text = TensorDict({"tokens": {"full": torch.tensor([[1, 2, 3]])}}, batch_size=[1])
        >>> policy(text)["log_probs"].full.exp()
        tensor([[1.0000, 0.2500, 0.2500]])
    """

    def __init__(  # noqa: PLR0913
        self,
        *,
        tokenizer: Any = None,  # noqa: ANN401
        input_mode: InputMode = "history",
        input_key: NestedKey | None = None,
        attention_mask_key: NestedKey = ("masks", "all_attention_mask"),
        generate: bool = True,
        generate_kwargs: Mapping[str, Any] | None = None,
        tokenizer_kwargs: Mapping[str, Any] | None = None,
        pad_output: bool = True,
        inplace: bool | None = None,
        device: torch.device | str | None = None,
        layout: torch.layout | None = None,
        num_samples: int | None = None,
        chat_template_name: str | None = None,
        chat_template: str | None = None,
        return_log_probs: bool | None = None,
        history_key: NestedKey = "history",
        text_key: NestedKey = "text",
        tokens_key: NestedKey = "tokens",
        masks_key: NestedKey = "masks",
        log_probs_key: NestedKey = "log_probs",
    ) -> None:
        super().__init__()
        check_mode(input_mode, tokenizer)
        if num_samples is not None and (num_samples < 1 or not generate or inplace):
            raise RLError(
                f"`num_samples={num_samples}` makes a larger batch: it needs a positive number, "
                "`generate=True` and `inplace` None or False."
            )
        if layout is not None and pad_output:
            raise RLError("`layout` is for rows of different lengths: pass `pad_output=False` too.")
        self.generate = generate
        self.generate_kwargs = dict(generate_kwargs or {})
        self.pad_output, self.inplace, self.layout = pad_output, inplace, layout
        self.device = None if device is None else torch.device(device)
        self.num_samples = num_samples
        self.return_log_probs = return_log_probs is not False
        self.history_key, self.text_key = history_key, text_key
        self.tokens_key, self.masks_key, self.log_probs_key = tokens_key, masks_key, log_probs_key
        if input_key is None:
            group = {"history": history_key, "text": text_key, "tokens": tokens_key}[input_mode]
            input_key = _below(group, "prompt" if generate else "full")
        source = template_source(chat_template_name, chat_template)
        self.codec = TextCodec(
            tokenizer, input_mode, input_key, attention_mask_key, source, tokenizer_kwargs or {}
        )
        self.in_keys = [input_key]
        self.out_keys = self._written_keys()

    def _written_keys(self) -> list[NestedKey]:
        keys = [self.tokens_key, self.masks_key]
        if self.tokenizer is not None:
            keys.insert(0, self.text_key)
        if self.input_mode == "history" and self.generate:
            keys.insert(0, self.history_key)
        if self.return_log_probs or not self.generate:
            keys.append(self.log_probs_key)
        return keys

    @property
    def tokenizer(self) -> Any:  # noqa: ANN401
        """The tokenizer, or None."""
        return self.codec.tokenizer

    @property
    def input_mode(self) -> InputMode:
        """What the policy reads: `"history"`, `"text"` or `"tokens"`."""
        return self.codec.input_mode

    # ---------------------------------------------------------------- engine

    @abstractmethod
    def _generate_rows(self, prompts: Sequence[Tensor]) -> list[Sampled]:
        """Sample one response for each row of prompt tokens."""

    @abstractmethod
    def _next_logits(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the logits `[B, L, V]` of which row t predicts token t + 1."""

    @property
    @abstractmethod
    def temperature(self) -> float:
        """What sampling divides the logits by; scoring divides by the same."""

    @abstractmethod
    def get_new_version(self, **kwargs: Any) -> LLMWrapperBase:
        """Return a wrapper of the same model with other arguments, such as `generate=False`."""

    # ---------------------------------------------------------------- forward

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Generate or score, and write the result.

        Raises:
            MissingKeyError: the input is not there.
            ShapeError: the input or its mask has the wrong shape.
        """
        batch = tensordict.batch_size
        flat = tensordict.reshape(-1)
        if self.generate:
            with torch.no_grad():
                written = self._generate(flat)
            if self.num_samples is not None:
                batch = torch.Size([*batch, self.num_samples])
                tensordict = tensordict.unsqueeze(-1).expand(batch)
        else:
            written = self._score(flat)
        device = self.device or tensordict.device
        if device is not None:
            written = written.to(device)
        written = written.reshape(batch)
        if self.inplace is False:
            return written
        target = tensordict if self.num_samples is None else tensordict.copy()
        for key in self.out_keys:
            target.set(key, written.get(key))
        return target

    def _generate(self, tensordict: TensorDictBase) -> TensorDictBase:
        prompts = self.codec.prompts(tensordict)
        if self.num_samples is not None:
            prompts = [prompt for prompt in prompts for _ in range(self.num_samples)]
        sampled = self._generate_rows(prompts)
        responses = [row.tokens for row in sampled]
        prompts = [prompt.to(responses[0].device) for prompt in prompts]
        written = TensorDict(batch_size=[len(prompts)])
        if self.pad_output:
            groups = padded_output(prompts, sampled, self.codec.pad_token_id)
        else:
            groups = ragged_output(prompts, sampled, self.layout)
        names = (self.tokens_key, self.masks_key, self.log_probs_key)
        for key, group in zip(names, groups, strict=True):
            if key in self.out_keys:
                written.set(key, group)
        if self.tokenizer is not None:
            written.set(self.text_key, self._texts(prompts, responses))
        if self.input_mode == "history":
            written.set(self.history_key, self._chat_history(tensordict, sampled))
        return written

    def _texts(self, prompts: list[Tensor], responses: list[Tensor]) -> Text:
        rows = zip(map(self.codec.decode, prompts), map(self.codec.decode, responses), strict=True)
        return lazy_stack([Text(prompt, response, prompt + response) for prompt, response in rows])

    def _chat_history(self, tensordict: TensorDictBase, sampled: list[Sampled]) -> ChatHistory:
        chats = tensordict.get(self.codec.input_key).to_chats()
        chats = [chat for chat in chats for _ in range(self.num_samples or 1)]
        answers = [
            [
                {
                    "role": "assistant",
                    "content": self.codec.decode(row.tokens, skip_special_tokens=True),
                    "is_complete": row.is_complete,
                }
            ]
            for row in sampled
        ]
        return ChatHistory(
            prompt=History.from_chats(chats),
            response=History.from_chats(answers),
            full=History.from_chats([c + a for c, a in zip(chats, answers, strict=True)]),
            batch_size=[len(chats)],
        )

    def _score(self, tensordict: TensorDictBase) -> TensorDictBase:
        scored = self.codec.scored(tensordict, _below(self.text_key, "prompt"))
        log_prob = self._distribution(scored).log_prob(scored.tokens.to(self._model_device()))
        size = [scored.tokens.shape[0]]
        split = self._prompt_width(tensordict, scored)
        padded = torch.ones(size, dtype=torch.bool)
        assistant = scored.assistant_mask
        if assistant is None:
            assistant = read_padded(tensordict, _below(self.masks_key, "all_assistant_mask"), False)
        if assistant is None and split is not None:
            assistant = scored.attention_mask & _from(split, scored.tokens)
        written = TensorDict(batch_size=size)
        written.set(self.tokens_key, _split(Tokens, scored.tokens, split, padded))
        written.set(
            self.masks_key, Masks(scored.attention_mask, assistant, padded, batch_size=size)
        )
        written.set(self.log_probs_key, _split(LogProbs, log_prob, split, padded))
        if self.tokenizer is not None:
            texts = scored.text or [
                self.codec.decode(row[keep])
                for row, keep in zip(scored.tokens, scored.attention_mask, strict=True)
            ]
            written.set(self.text_key, _full_texts(texts))
        return written

    def _prompt_width(self, tensordict: TensorDictBase, scored: Scored) -> int | None:
        """Return P where the input has `tokens.prompt` padded to P, in front of `tokens.full`."""
        key = _below(self.tokens_key, "prompt")
        if self.input_mode != "tokens" or is_ragged(tensordict, key):
            return None
        prompt = tensordict.get(key, None)
        return None if prompt is None else prompt.shape[-1]

    # ---------------------------------------------------------------- distributions

    def get_dist(self, tensordict: TensorDictBase) -> TokenDistribution:
        """Return the next-token distributions over the whole text, every real token counting.

        Reads `(tokens, "full")` and the attention mask where they are, whatever the input mode, so
        that a loss scores the tokens that were sampled; otherwise it encodes the input.
        """
        return self._distribution(self._scored(tensordict.reshape(-1)))

    def get_masked_dist(
        self, tensordict: TensorDictBase, masking_strategy: MaskingStrategy = "rlhf"
    ) -> TokenDistribution:
        """Return the distributions with only the tokens of `masking_strategy` counting.

        Raises:
            MissingKeyError: the mask that the strategy needs is not there.
        """
        flat = tensordict.reshape(-1)
        scored = self._scored(flat)
        mask = self.loss_mask(flat, masking_strategy, scored)
        return self._distribution(scored).with_mask(mask)

    def log_prob(
        self, tensordict: TensorDictBase, masking_strategy: MaskingStrategy = "generic"
    ) -> Tensor:
        """Return the log-probs `[*B, L]` of the text, zero at the tokens that do not count."""
        scored = self._scored(tensordict.reshape(-1))
        dist = self.get_masked_dist(tensordict, masking_strategy)
        log_prob = dist.log_prob(scored.tokens.to(dist.mask.device))
        return log_prob.reshape(*tensordict.batch_size, -1)

    def mask_keys(self, masking_strategy: MaskingStrategy) -> list[NestedKey]:
        """Return the entries from which the mask of a strategy is made."""
        attention = _below(self.masks_key, "all_attention_mask")
        more = {
            "sft": [_below(self.tokens_key, "prompt")],
            "rlhf": [_below(self.masks_key, "all_assistant_mask")],
        }
        return [attention, *more.get(masking_strategy, [])]

    def loss_mask(
        self,
        tensordict: TensorDictBase,
        masking_strategy: MaskingStrategy,
        scored: Scored | None = None,
    ) -> Tensor:
        """Return which tokens of the text count, `[B, L]` bool, for a TensorDict `[B]`.

        Raises:
            RLError: the strategy is unknown.
            MissingKeyError: the mask that the strategy needs is not there.
        """
        scored = scored or self._scored(tensordict)
        mask = predicted_positions(scored.attention_mask)
        if masking_strategy == "generic":
            return mask
        if masking_strategy == "rlhf":
            key = _below(self.masks_key, "all_assistant_mask")
            assistant = scored.assistant_mask
            assistant = read_padded(tensordict, key, False) if assistant is None else assistant
            if assistant is None:
                raise MissingKeyError(
                    f"masking_strategy='rlhf' reads `{key}`, which is not there: let the policy "
                    "write `masks`, or use masking_strategy='sft'."
                )
            return mask & assistant.to(mask.device)
        if masking_strategy != "sft":
            known = ("sft", "rlhf", "generic")
            raise RLError(
                f"`masking_strategy` is {masking_strategy!r}. "
                f"{nearest(str(masking_strategy), known)}"
            )
        key = _below(self.tokens_key, "prompt")
        if is_ragged(tensordict, key):
            widths = torch.tensor([len(row) for row in read_rows(tensordict, key)]).unsqueeze(-1)
            return mask & _from(widths.to(mask.device), mask)
        prompt = tensordict.get(key, None)
        if prompt is None:
            raise MissingKeyError(
                f"masking_strategy='sft' reads the length of `{key}`, which is not there: let the "
                "policy write `tokens`, or use masking_strategy='rlhf'."
            )
        return mask & _from(prompt.shape[-1], mask)

    def _scored(self, tensordict: TensorDictBase) -> Scored:
        tokens_key = _below(self.tokens_key, "full")
        if not is_ragged(tensordict, tokens_key) and tensordict.get(tokens_key, None) is None:
            return self.codec.scored(tensordict, _below(self.text_key, "prompt"))
        codec = TextCodec(
            self.tokenizer, "tokens", tokens_key, _below(self.masks_key, "all_attention_mask")
        )
        return codec.scored(tensordict, tokens_key)

    def _distribution(self, scored: Scored) -> TokenDistribution:
        device = self._model_device()
        tokens, mask = scored.tokens.to(device), scored.attention_mask.to(device)
        logits = self._next_logits(tokens, mask)
        return TokenDistribution(logits, mask, temperature=self.temperature)

    def _model_device(self) -> torch.device:
        return next(self.parameters()).device


def _below(group: NestedKey, name: str) -> NestedKey:
    return (group, name) if isinstance(group, str) else (*group, name)


def _from(start: int | Tensor, like: Tensor) -> Tensor:
    return torch.arange(like.shape[-1], device=like.device) >= start


def _split(
    kind: type[Tokens] | type[LogProbs], full: Tensor, split: int | None, padded: Tensor
) -> Tokens | LogProbs:
    prompt, response = (None, None) if split is None else (full[:, :split], full[:, split:])
    return kind(prompt, response, full, padded.to(full.device), batch_size=full.shape[:1])


def _full_texts(rows: list[str]) -> Text:
    return lazy_stack([Text(full=row) for row in rows])
