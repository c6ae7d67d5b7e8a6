import pytest
import torch
from tensordict import TensorDict, lazy_stack

from rl.core.errors import MissingKeyError, RLError, ShapeError
from rl.llm import Tokens
from rl.llm.policies.text_codec import TextCodec, check_mode, template_source

MASK = ("masks", "all_attention_mask")


def codec(tokenizer, mode, name="prompt"):
    group = {"history": "history", "text": "text", "tokens": "tokens"}[mode]
    return TextCodec(tokenizer, mode, (group, name), MASK)


def test_the_three_modes_read_the_same_prompt(tokenizer, chats):
    rows = codec(tokenizer, "history").prompts(chats)
    texts = [tokenizer.decode(row) for row in rows]
    assert texts[0] == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    as_text = TensorDict({"text": {"prompt": texts}}, batch_size=[2])
    as_tokens = TensorDict(
        {"tokens": lazy_stack([Tokens(prompt=row) for row in rows])}, batch_size=[2]
    )
    for other in (
        codec(tokenizer, "text").prompts(as_text),
        codec(tokenizer, "tokens").prompts(as_tokens),
    ):
        assert [row.tolist() for row in other] == [row.tolist() for row in rows]


def test_padding_in_front_or_behind_is_left_out(tokenizer):
    tokens = torch.tensor([[0, 5], [6, 0]])
    mask = torch.tensor([[0, 1], [1, 0]])
    td = TensorDict({"tokens": {"prompt": tokens}, "masks": {MASK[1]: mask}}, batch_size=[2])
    rows = codec(tokenizer, "tokens").prompts(td)
    assert [row.tolist() for row in rows] == [[5], [6]]


def test_without_a_mask_every_token_is_real(tokenizer):
    td = TensorDict({"tokens": {"prompt": torch.tensor([[0, 5]])}}, batch_size=[1])
    assert codec(tokenizer, "tokens").prompts(td)[0].tolist() == [0, 5]


def test_the_answer_in_a_text_is_what_stands_behind_the_prompt(tokenizer):
    td = TensorDict({"text": {"prompt": ["2+2="], "full": ["2+2=4!"]}}, batch_size=[1])
    scored = codec(tokenizer, "text", "full").scored(td, ("text", "prompt"))
    assert tokenizer.decode(scored.tokens[scored.assistant_mask]) == "4!"
    alone = TensorDict({"text": {"full": ["2+2=4!"]}}, batch_size=[1])
    assert codec(tokenizer, "text", "full").scored(alone, ("text", "prompt")).assistant_mask is None


def test_a_missing_input_names_key_and_mode(tokenizer):
    td = TensorDict({"text": {"prompt": ["a"]}}, batch_size=[1])
    with pytest.raises(MissingKeyError, match=r"input_mode='history'.*`input_key=`"):
        codec(tokenizer, "history").prompts(td)


@pytest.mark.parametrize(
    ("mode", "entry", "fix"),
    [
        ("history", torch.zeros(1, 2), "History.from_chats"),
        ("text", torch.zeros(1, 2), "one str per row"),
    ],
)
def test_an_input_of_the_wrong_kind_is_refused(tokenizer, mode, entry, fix):
    td = TensorDict({mode: {"prompt": entry}}, batch_size=[1])
    with pytest.raises(ShapeError, match=fix):
        codec(tokenizer, mode).prompts(td)


def test_a_mask_of_other_tokens_is_refused(tokenizer):
    td = TensorDict(
        {"tokens": {"full": torch.ones(1, 3).long()}, "masks": {MASK[1]: torch.ones(1, 2)}},
        batch_size=[1],
    )
    with pytest.raises(ShapeError, match="pass the mask of these tokens"):
        codec(tokenizer, "tokens", "full").scored(td, "x")


def test_modes_and_templates_are_checked():
    with pytest.raises(RLError, match="Did you mean `tokens`"):
        check_mode("token", object())
    with pytest.raises(RLError, match="pass `tokenizer=`"):
        check_mode("text", None)
    check_mode("tokens", None)
    assert template_source(None, "x") == "x"
    assert "im_start" in template_source("qwen", None)
