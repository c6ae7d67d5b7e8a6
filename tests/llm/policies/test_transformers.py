import pytest
import torch
from tensordict import TensorDict
from transformers import GPT2Config, GPT2LMHeadModel

from rl.core.errors import RLError
from rl.llm import TransformersWrapper
from rl.llm.testing import tiny_model, tiny_tokenizer


def scored_again(policy, out):
    """Score the tokens that were generated in a pass of their own."""
    scorer = policy.get_new_version(generate=False, input_mode="tokens")
    return scorer(out.select("tokens", "masks"))["log_probs"].full


@pytest.mark.parametrize("pad_is_eos", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
@pytest.mark.parametrize("mode", ["history", "text", "tokens"])
def test_generated_log_probs_equal_those_of_a_second_pass(chats, mode, temperature, pad_is_eos):
    tokenizer = tiny_tokenizer(pad_is_eos=pad_is_eos)
    policy = TransformersWrapper(
        tiny_model(tokenizer),
        tokenizer=tokenizer,
        input_mode=mode,
        generate_kwargs={"max_new_tokens": 12, "temperature": temperature},
    )
    inputs = {
        "history": chats,
        "text": TensorDict({"text": {"prompt": ["a", "longer"]}}, batch_size=[2]),
        "tokens": TensorDict({"tokens": {"prompt": torch.randint(3, 99, (2, 5))}}, batch_size=[2]),
    }
    out = policy(inputs[mode])
    mask = out["masks"].all_assistant_mask
    assert (out["log_probs"].full[mask] < 0).all()
    assert (out["log_probs"].full[~mask] == 0).all()
    difference = scored_again(policy, out) - out["log_probs"].full
    assert difference[mask].abs().max() < 1e-4


def test_positions_count_from_the_first_real_token_for_learned_positions(tokenizer, chats):
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=128,
        n_embd=32,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=tokenizer.eos_token_id,
    )
    policy = TransformersWrapper(
        GPT2LMHeadModel(config).eval(),
        tokenizer=tokenizer,
        generate_kwargs={"max_new_tokens": 8},
    )
    out = policy(chats)
    mask = out["masks"].all_assistant_mask
    difference = scored_again(policy, out) - out["log_probs"].full
    assert difference[mask].abs().max() < 1e-4


def test_the_end_token_is_kept_when_it_is_the_padding_token_too():
    tokenizer = tiny_tokenizer(pad_is_eos=True)
    model = tiny_model(tokenizer)
    eos = tokenizer.eos_token_id
    with torch.no_grad():  # a model that ends at once half of the time
        model.lm_head.weight.zero_()
        bias = torch.full((len(tokenizer),), -30.0)
        bias[[eos, 100]] = 0.0
    model.lm_head.bias = torch.nn.Parameter(bias)
    policy = TransformersWrapper(
        model, tokenizer=tokenizer, input_mode="text", generate_kwargs={"max_new_tokens": 10}
    )
    out = policy(TensorDict({"text": {"prompt": ["a"] * 8}}, batch_size=[8]))
    response, mask = out["tokens"].response, out["masks"].all_assistant_mask
    scores = out["log_probs"].full
    for row in range(8):
        written = out["tokens"].full[row][mask[row]]
        first = (response[row] == eos).nonzero()[0, 0]
        assert written.tolist() == [100] * int(first) + [eos]
        torch.testing.assert_close(
            scores[row][mask[row]], torch.full((len(written),), 0.5).log(), atol=1e-4, rtol=0
        )
    assert mask.sum(-1).unique().numel() > 1
    torch.testing.assert_close(scored_again(policy, out)[mask], scores[mask], atol=1e-4, rtol=0)


def test_a_complete_answer_says_so(make_policy, chats, tokenizer):
    out = make_policy(generate_kwargs={"max_new_tokens": 60})(chats)
    for row in range(2):
        written = out["tokens"].full[row][out["masks"].all_assistant_mask[row]]
        complete = int(written[-1]) == tokenizer.eos_token_id
        assert out["history"].response.is_complete[row] == [complete]


def test_padding_changes_nothing(make_policy):
    prompts = ["a", "a much longer prompt"]
    policy = make_policy(input_mode="text", generate_kwargs={"do_sample": False})
    together = policy(TensorDict({"text": {"prompt": prompts}}, batch_size=[2]))
    for row, prompt in enumerate(prompts):
        alone = policy(TensorDict({"text": {"prompt": [prompt]}}, batch_size=[1]))
        assert alone["text"].response == [together["text"].response[row]]


def test_greedy_is_deterministic_and_scored_at_temperature_one(make_policy, chats):
    policy = make_policy(generate_kwargs={"temperature": 0, "max_new_tokens": 4})
    assert not policy.samples
    assert policy.temperature == 1.0
    first, again = policy(chats.clone()), policy(chats.clone())
    assert torch.equal(first["tokens"].full, again["tokens"].full)
    best = policy.get_dist(first).logits.argmax(-1)
    mask = first["masks"].all_assistant_mask
    assert torch.equal(best[mask], first["tokens"].full[mask])


def test_a_seed_fixes_the_sample(make_policy, chats):
    runs = []
    for _ in range(2):
        torch.manual_seed(5)
        runs.append(make_policy()(chats.clone())["tokens"].full)
    assert torch.equal(*runs)


def test_nothing_is_cut_away_unless_asked(make_policy):
    policy = make_policy(generate_kwargs={"max_new_tokens": 1})
    assert policy._config().top_k == 0
    assert policy._config().top_p == 1.0
    assert make_policy(generate_kwargs={"top_k": 5})._config().top_k == 5


def test_sampling_follows_the_distribution(make_policy, model):
    """The share of a token among many samples is its probability, at a temperature too."""
    policy = make_policy(
        input_mode="text",
        num_samples=2000,
        generate_kwargs={"max_new_tokens": 1, "temperature": 0.7},
    )
    out = policy(TensorDict({"text": {"prompt": ["a"]}}, batch_size=[1])).reshape(-1)
    token = out["tokens"].response[:, 0]
    value, count = token.unique(return_counts=True)
    common = value[count.argmax()]
    share = count.max() / 2000
    probability = out["log_probs"].response[token == common][0, 0].exp()
    assert abs(float(share - probability)) < 4 * float((probability / 2000).sqrt())


def test_gradients_flow_through_scores(make_policy, chats):
    policy = make_policy()
    out = policy(chats)
    assert not out["log_probs"].full.requires_grad
    policy.log_prob(out, "rlhf").sum().backward()
    grads = [p.grad for p in policy.model.parameters()]
    assert all(g is not None and g.isfinite().all() for g in grads)
    assert any(g.abs().sum() > 0 for g in grads)
    policy.zero_grad(set_to_none=True)


def test_scores_come_from_the_tokens_not_from_their_text(make_policy, chats):
    policy = make_policy()
    out = policy(chats)
    out["history"].full.content  # noqa: B018  (a policy could be tempted to encode it again)
    expected = policy.log_prob(out, "rlhf")
    text_is_gone = out.exclude("history", "text")
    torch.testing.assert_close(policy.log_prob(text_is_gone, "rlhf"), expected)


def test_scoring_text_and_history(make_policy, tokenizer):
    text = TensorDict({"text": {"prompt": ["2+2="], "full": ["2+2=4"]}}, batch_size=[1])
    out = make_policy(input_mode="text", generate=False)(text)
    assert tokenizer.decode(out["tokens"].full[out["masks"].all_assistant_mask]) == "4"
    logits = make_policy(input_mode="text").model(out["tokens"].full).logits
    expected = logits.log_softmax(-1)[0, -2, out["tokens"].full[0, -1]]
    torch.testing.assert_close(out["log_probs"].full[0, -1], expected)
    assert out["log_probs"].full[0, 0] == 0


def test_other_versions_share_the_model(make_policy):
    policy = make_policy(num_samples=2)
    scorer = policy.get_new_version(generate=False)
    assert scorer.model is policy.model
    assert scorer.in_keys == [("history", "full")]
    assert scorer.tokenizer is policy.tokenizer


@pytest.mark.parametrize(
    ("kwargs", "fix"),
    [
        ({"generate_kwargs": {"num_return_sequences": 2}}, "`num_samples=`"),
        ({"generate_kwargs": {"num_beams": 2}}, "sampling"),
        ({"pad_model_input": False}, "leave it True"),
    ],
)
def test_arguments_with_another_name_here(make_policy, kwargs, fix):
    with pytest.raises(RLError, match=fix):
        make_policy(**kwargs)


def test_model_and_tokenizer_by_name(tmp_path, model, tokenizer):
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    policy = TransformersWrapper(
        str(tmp_path), input_mode="text", generate_kwargs={"max_new_tokens": 2, "do_sample": False}
    )
    ours = TransformersWrapper(
        model,
        tokenizer=tokenizer,
        input_mode="text",
        generate_kwargs={"max_new_tokens": 2, "do_sample": False},
    )
    td = TensorDict({"text": {"prompt": ["a"]}}, batch_size=[1])
    assert policy(td.clone())["text"].full == ours(td.clone())["text"].full
