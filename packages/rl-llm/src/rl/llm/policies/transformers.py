"""`TransformersWrapper`: a Hugging Face causal model as a policy, to sample from and to train."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rl.core.errors import RLError
from rl.core.optional import optional
from rl.llm.policies.assembly import Sampled
from rl.llm.policies.base import LLMWrapperBase
from rl.llm.policies.padding import lengths_until_stop, pad_rows, row_mask
from rl.llm.policies.token_distribution import token_log_prob

__all__ = ["TransformersWrapper"]

transformers = optional("transformers", extra="rl-llm[transformers]")

DEFAULT_MAX_NEW_TOKENS = 64
_INSTEAD = {
    "num_return_sequences": "`num_samples=` of the wrapper",
    "num_beams": "sampling; beams have no log-prob that a loss can use",
    "return_dict_in_generate": "the keys that the wrapper writes",
}


class TransformersWrapper(LLMWrapperBase):
    """A causal model of the transformers library as a policy.

    Log-probs are those of the model at `generate_kwargs["temperature"]` over the whole vocabulary,
    in float32, and the same when generating as when scoring: what `top_k`, `top_p` or a repetition
    penalty cut away is not subtracted. Without `top_k` and `top_p` nothing is cut. The keys that it
    reads and writes, and the other arguments, are those of `LLMWrapperBase`.

    Args:
        model: the model, or a name that `AutoModelForCausalLM.from_pretrained` takes.
        tokenizer: the tokenizer, or a name; read from the model's name if that is what was given.
        generate_kwargs: fields of transformers' `GenerationConfig`; `do_sample=True` and
            `max_new_tokens=64` where they are not given, and `temperature=0` is greedy.
        pad_model_input: only True: packed input is not there yet.
        **kwargs: as in `LLMWrapperBase`.

    Raises:
        RLError: an argument of generation that has another name here.

    Example:
        >>> from tensordict import TensorDict
        >>> from rl.llm.testing import tiny_model, tiny_tokenizer
        >>> tokenizer = tiny_tokenizer()
        >>> policy = TransformersWrapper(
        ...     tiny_model(tokenizer), tokenizer=tokenizer, input_mode="text",
        ...     generate_kwargs={"max_new_tokens": 4},
        ... )
        >>> td = policy(TensorDict({"text": {"prompt": ["2+2=", "hello"]}}, batch_size=[2]))
        >>> td["tokens"].prompt.shape, td["log_probs"].full.shape == td["tokens"].full.shape
        (torch.Size([2, 5]), True)
    """

    def __init__(
        self,
        model: nn.Module | str,
        *,
        tokenizer: Any = None,  # noqa: ANN401
        pad_model_input: bool = True,
        **kwargs: Any,
    ) -> None:
        if isinstance(model, str):
            tokenizer = model if tokenizer is None else tokenizer
            model = transformers.AutoModelForCausalLM.from_pretrained(model)
        if isinstance(tokenizer, str):
            tokenizer = transformers.AutoTokenizer.from_pretrained(tokenizer)
        if not pad_model_input:
            raise RLError("`pad_model_input=False` (packing) is not there yet: leave it True.")
        super().__init__(tokenizer=tokenizer, **kwargs)
        for name, instead in _INSTEAD.items():
            if name in self.generate_kwargs:
                raise RLError(f"`generate_kwargs` has `{name}`: use {instead}.")
        self.model = model
        self._kwargs = {"tokenizer": tokenizer, **kwargs}
        self._takes_positions = "position_ids" in inspect.signature(model.forward).parameters
        self._generation_config = None

    @property
    def samples(self) -> bool:
        """Whether tokens are drawn; otherwise the most likely one is taken."""
        drawn = bool(self.generate_kwargs.get("do_sample", True))
        return drawn and self.generate_kwargs.get("temperature", 1.0) != 0

    @property
    def temperature(self) -> float:
        """What the logits are divided by; 1 when greedy."""
        return float(self.generate_kwargs.get("temperature") or 1.0) if self.samples else 1.0

    def get_new_version(self, **kwargs: Any) -> TransformersWrapper:
        """Return a wrapper of the same model with other arguments, such as `generate=False`."""
        merged = {**self._kwargs, **kwargs}
        if "generate" in kwargs:  # what fits the other way to use the model is not kept
            for name in {"input_key", "num_samples"} - kwargs.keys():
                merged.pop(name, None)
        return type(self)(self.model, **merged)

    def _generate_rows(self, prompts: Sequence[Tensor]) -> list[Sampled]:
        device = self._model_device()
        config = self._config()
        prompts = [prompt.to(device) for prompt in prompts]
        tokens = pad_rows(prompts, self.codec.pad_token_id, "left")
        output = self.model.generate(
            tokens, attention_mask=row_mask(prompts, "left").long(), generation_config=config
        )
        responses = output.sequences[:, tokens.shape[1] :]
        logits = torch.stack(output.logits, 1)
        if self.temperature != 1.0:
            logits = logits.float() / self.temperature
        log_probs = token_log_prob(logits, responses)
        stops = self._stops(config)
        lengths = lengths_until_stop(responses, stops).tolist()
        return [
            Sampled(row[:length], score[:length], length > 0 and int(row[length - 1]) in stops)
            for row, score, length in zip(responses, log_probs, lengths, strict=True)
        ]

    def _next_logits(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        inputs = {"input_ids": tokens, "attention_mask": attention_mask.long(), "use_cache": False}
        if self._takes_positions:
            # padding on the left must not move the positions, nor does it when generating
            inputs["position_ids"] = (attention_mask.long().cumsum(-1) - 1).clamp_min(0)
        return self.model(**inputs).logits

    @staticmethod
    def _stops(config: Any) -> set[int]:  # noqa: ANN401
        eos = config.eos_token_id
        return set() if eos is None else set(eos if isinstance(eos, list) else [eos])

    def _config(self) -> Any:  # noqa: ANN401
        """Return the generation config: the model's own without its way to sample, made once."""
        if self._generation_config is not None:
            return self._generation_config
        own = self.model.generation_config.to_dict()
        for name in ("temperature", "top_k", "top_p", "max_length", "do_sample"):
            own.pop(name, None)
        options = {"top_k": 0, "top_p": 1.0, **self.generate_kwargs}
        options["do_sample"] = self.samples
        if self.samples:
            options["temperature"] = self.temperature
        else:
            for name in ("temperature", "top_k", "top_p"):
                options.pop(name, None)
        if "max_length" not in options:
            options.setdefault("max_new_tokens", DEFAULT_MAX_NEW_TOKENS)
        if self.tokenizer is not None and own.get("eos_token_id") is None:
            options.setdefault("eos_token_id", self.tokenizer.eos_token_id)
        options.setdefault("pad_token_id", self.codec.pad_token_id)
        self._generation_config = transformers.GenerationConfig.from_dict(
            {**own, **options, "return_dict_in_generate": True, "output_logits": True}
        )
        return self._generation_config
