import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import MissingKeyError, RLError
from rl.llm import History, LogProbs, Masks, Text, Tokens


def test_generating_writes_every_group(make_policy, chats):
    policy = make_policy()
    out = policy(chats)
    assert out is chats
    assert policy.out_keys == ["history", "text", "tokens", "masks", "log_probs"]
    kinds = {"text": Text, "tokens": Tokens, "masks": Masks, "log_probs": LogProbs}
    assert all(isinstance(out[key], kind) for key, kind in kinds.items())
    length = out["tokens"].full.shape[-1]
    assert out["tokens"].prompt.shape[-1] + out["tokens"].response.shape[-1] == length
    assert out["masks"].all_attention_mask.shape == (2, length)
    assert out["masks"].all_assistant_mask.shape == (2, length)
    assert out["log_probs"].full.shape == (2, length)


def test_the_history_grows_by_the_answer(make_policy, chats, tokenizer):
    out = make_policy()(chats)
    history = out["history"]
    assert history.prompt.shape == history.response.shape == (2, 1)
    assert history.full.shape == (2, 2)
    assert history.full.role == [["user", "assistant"]] * 2
    for row in range(2):
        response = out["tokens"].response[row]
        expected = tokenizer.decode(response, skip_special_tokens=True)
        assert history.response.content[row] == [expected]
        assert history.full.content[row][1] == expected


def test_the_text_is_that_of_the_tokens(make_policy, chats, tokenizer):
    out = make_policy()(chats)
    for row in range(2):
        mask = out["masks"].all_attention_mask[row]
        assert out["text"].full[row] == tokenizer.decode(out["tokens"].full[row][mask])
        assert out["text"].full[row] == out["text"].prompt[row] + out["text"].response[row]


def test_several_samples_make_another_dimension(make_policy, chats):
    out = make_policy(num_samples=3)(chats)
    assert out.batch_size == (2, 3)
    assert chats.batch_size == (2,)
    prompts = out["tokens"].prompt
    assert (prompts == prompts[:, :1]).all()
    assert (out["tokens"].response[0, 0] != out["tokens"].response[0, 1]).any()
    assert out["history"].full.content[1][0][0] == "how are you?"


def test_inplace_false_returns_what_was_written_alone(make_policy):
    td = TensorDict({"text": {"prompt": ["a"]}, "other": torch.zeros(1)}, batch_size=[1])
    out = make_policy(input_mode="text", inplace=False)(td)
    assert "other" not in out
    assert "tokens" in out
    assert "tokens" not in td


@pytest.mark.parametrize("batch", [[], [2], [1, 2]])
def test_any_batch_size_is_kept(make_policy, batch):
    prompt = torch.randint(3, 200, (*batch, 4))
    td = TensorDict({"tokens": {"prompt": prompt}}, batch_size=batch)
    policy = make_policy(input_mode="tokens")
    out = policy(td)
    assert out["tokens"].full.shape == (*batch, 4 + out["tokens"].response.shape[-1])
    assert policy.log_prob(out).shape == out["tokens"].full.shape


def test_log_probs_can_be_left_out(make_policy, chats):
    out = make_policy(return_log_probs=False)(chats)
    assert "log_probs" not in out


def test_groups_can_be_renamed(make_policy):
    td = TensorDict({"t": {"prompt": ["a"]}}, batch_size=[1])
    policy = make_policy(
        input_mode="text",
        text_key="t",
        tokens_key=("llm", "tok"),
        masks_key="m",
        log_probs_key="lp",
    )
    out = policy(td)
    assert {"t", "llm", "m", "lp"} == set(out.keys())
    assert policy.log_prob(out, "rlhf").shape == out["llm", "tok", "full"].shape


def test_ragged_output_scores_as_padded_output_does(make_policy, chats):
    torch.manual_seed(3)
    padded = make_policy()(chats.clone())
    for layout in (None, torch.jagged):
        torch.manual_seed(3)
        policy = make_policy(pad_output=False, layout=layout)
        ragged = policy(chats.clone())
        for strategy in ("sft", "rlhf", "generic"):
            ours = policy.log_prob(ragged, strategy)
            theirs = policy.log_prob(padded, strategy)
            torch.testing.assert_close(ours.sum(-1), theirs.sum(-1), atol=1e-4, rtol=0)


def test_masking_strategies_on_a_long_conversation(make_policy, tokenizer):
    chat = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": "d"},
    ]
    td = TensorDict({"history": {"full": History.from_chats([chat])}}, batch_size=[1])
    policy = make_policy(generate=False)
    assistant = policy.get_masked_dist(td, "rlhf").mask
    everything = policy.get_masked_dist(td, "generic").mask
    scored = policy(td)
    assert tokenizer.decode(scored["tokens"].full[assistant]) == "b<|im_end|>d<|im_end|>"
    assert everything.sum() == everything.numel() - 1
    with pytest.raises(MissingKeyError, match="masking_strategy='rlhf'"):
        policy.get_masked_dist(td, "sft")


def test_sft_masks_the_prompt(make_policy, chats):
    policy = make_policy()
    out = policy(chats)
    assert torch.equal(policy.get_masked_dist(out, "sft").mask, out["masks"].all_assistant_mask)


@pytest.mark.parametrize(
    ("kwargs", "fix"),
    [
        ({"input_mode": "histroy"}, "Did you mean `history`"),
        ({"input_mode": "text", "tokenizer": None}, "pass `tokenizer=`"),
        ({"num_samples": 2, "inplace": True}, "`inplace` None or False"),
        ({"num_samples": 0}, "positive number"),
        ({"num_samples": 2, "generate": False}, "`generate=True`"),
        ({"layout": torch.jagged}, "pad_output=False"),
    ],
)
def test_arguments_that_exclude_each_other(make_policy, kwargs, fix):
    with pytest.raises(RLError, match=fix):
        make_policy(**kwargs)


def test_an_unknown_strategy_suggests_the_nearest(make_policy, chats):
    policy = make_policy()
    with pytest.raises(RLError, match="Did you mean `sft`"):
        policy.log_prob(policy(chats), "sfg")


def test_a_mask_that_is_needed_is_asked_for(make_policy):
    td = TensorDict({"tokens": {"full": torch.randint(3, 99, (1, 4))}}, batch_size=[1])
    policy = make_policy(input_mode="tokens", generate=False)
    with pytest.raises(MissingKeyError, match="masking_strategy='sft'"):
        policy.log_prob(td, "rlhf")
