import pytest
import torch

from rl.core.errors import RLError
from rl.llm.history import encode_chat, get_chat_template, render_chat
from rl.llm.testing import tiny_tokenizer

CHAT = [
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "bc"},
    {"role": "user", "content": "d"},
    {"role": "assistant", "content": "e"},
]


def test_the_mask_covers_each_answer_and_its_end_of_turn(tokenizer):
    ids, mask = encode_chat(CHAT, tokenizer)
    assert tokenizer.decode(ids[mask]) == "bc<|im_end|>e<|im_end|>"
    assert tokenizer.decode(ids) == render_chat(CHAT, tokenizer)


def test_the_mask_needs_no_generation_marks_and_agrees_with_those_of_transformers(tokenizer):
    source = get_chat_template("chatml_format").template
    plain = source.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    ids, mask = encode_chat(CHAT, tokenizer, chat_template=plain)
    theirs = tokenizer.apply_chat_template(
        CHAT,
        chat_template=source,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    assert ids.tolist() == theirs["input_ids"]
    assert mask.tolist() == [bool(m) for m in theirs["assistant_masks"]]


def test_the_generation_prompt_is_not_the_assistants(tokenizer):
    ids, mask = encode_chat(CHAT[:1], tokenizer, add_generation_prompt=True)
    assert tokenizer.decode(ids).endswith("<|im_start|>assistant\n")
    assert not mask.any()


def test_a_template_that_rewrites_earlier_turns_is_refused(tokenizer):
    last_only = "{{ messages | length }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(RLError, match="a template that only appends"):
        encode_chat(CHAT, tokenizer, chat_template=last_only)


def test_a_tokenizer_without_template_needs_one():
    with pytest.raises(RLError, match="chat_template_name='chatml_format'"):
        render_chat(CHAT, tiny_tokenizer(chat_template=None))


def test_the_result_is_tensors(tokenizer):
    ids, mask = encode_chat(CHAT, tokenizer)
    assert ids.dtype == torch.int64
    assert mask.dtype == torch.bool
    assert ids.shape == mask.shape
