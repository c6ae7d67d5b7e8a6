import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.llm.testing import tiny_model, tiny_tokenizer

TOKENIZER = tiny_tokenizer()


@settings(max_examples=50, deadline=None)
@given(st.text())
def test_any_text_round_trips(text):
    ids = TOKENIZER(text, add_special_tokens=False)["input_ids"]
    assert TOKENIZER.decode(ids, clean_up_tokenization_spaces=False) == text


def test_a_seed_names_one_model_and_leaves_the_global_generator_alone(tokenizer):
    before = torch.get_rng_state()
    first, again, other = (tiny_model(tokenizer, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    pairs = list(zip(first.parameters(), again.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(first.lm_head.weight, other.lm_head.weight)
    assert sum(p.numel() for p in first.parameters()) < 200_000


def test_the_padding_token_can_be_the_end_of_turn_token():
    tokenizer = tiny_tokenizer(pad_is_eos=True)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
