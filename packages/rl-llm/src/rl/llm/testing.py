"""A tokenizer and a language model of a few thousand weights, built here: nothing is downloaded."""

from __future__ import annotations

from typing import Any

import torch

from rl.core.optional import optional
from rl.llm.history.templates import CHATML

__all__ = ["tiny_model", "tiny_tokenizer"]

tokenizers = optional("tokenizers", extra="rl-llm[transformers]")
transformers = optional("transformers", extra="rl-llm[transformers]")

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def tiny_tokenizer(*, pad_is_eos: bool = False, chat_template: str | None = CHATML) -> Any:  # noqa: ANN401
    """Return a byte-level tokenizer: 256 byte tokens and three special ones, any text round-trips.

    Args:
        pad_is_eos: pad with the end-of-turn token, as many published models do.
        chat_template: ChatML by default.

    Example:
        >>> tokenizer = tiny_tokenizer()
        >>> tokenizer.decode(tokenizer("2+2=4")["input_ids"]), len(tokenizer)
        ('2+2=4', 259)
    """
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*SPECIAL_TOKENS, *alphabet])}
    core = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=False
    )
    core.decoder = tokenizers.decoders.ByteLevel()
    core.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|im_end|>",
        pad_token="<|im_end|>" if pad_is_eos else "<|endoftext|>",
        model_max_length=512,
    )
    tokenizer.chat_template = chat_template
    return tokenizer


def tiny_model(
    tokenizer: Any,  # noqa: ANN401
    *,
    seed: int = 0,
    hidden_size: int = 64,
    num_layers: int = 2,
    init_std: float = 0.1,
) -> Any:  # noqa: ANN401
    """Return a random Qwen2 of about 100 000 weights; the same seed gives the same weights.

    The global random state is left as it was.

    Args:
        tokenizer: gives the vocabulary and the special tokens.
        seed: of the weights.
        hidden_size: width, a multiple of 2.
        num_layers: depth.
        init_std: standard deviation of the weights.

    Example:
        >>> tiny_model(tiny_tokenizer()).config.vocab_size
        259
    """
    config = transformers.Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=num_layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        model = transformers.Qwen2ForCausalLM(config).float().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, init_std, generator=generator)
    return model
