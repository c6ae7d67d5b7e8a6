import torch

from rl.llm.policies.assembly import Sampled, padded_output, ragged_output

PROMPTS = [torch.tensor([5]), torch.tensor([6, 7])]
SAMPLED = [
    Sampled(torch.tensor([8, 2]), torch.tensor([-1.0, -2.0]), True),
    Sampled(torch.tensor([9]), torch.tensor([-3.0]), False),
]


def test_prompts_are_padded_left_and_responses_right():
    tokens, masks, log_probs = padded_output(PROMPTS, SAMPLED, 0)
    assert tokens.full.tolist() == [[0, 5, 8, 2], [6, 7, 9, 0]]
    assert tokens.prompt.tolist() == [[0, 5], [6, 7]]
    assert tokens.response.tolist() == [[8, 2], [9, 0]]
    assert masks.all_attention_mask.int().tolist() == [[0, 1, 1, 1], [1, 1, 1, 0]]
    assert masks.all_assistant_mask.int().tolist() == [[0, 0, 1, 1], [0, 0, 1, 0]]
    assert log_probs.full.tolist() == [[0, 0, -1, -2], [0, 0, -3, 0]]
    assert tokens.padded.tolist() == [True, True]


def test_ragged_rows_hold_no_padding():
    for layout in (None, torch.jagged):
        tokens, masks, log_probs = ragged_output(PROMPTS, SAMPLED, layout)
        assert tokens.shape == masks.shape == log_probs.shape == (2,)
        assert tokens[0].full.tolist() == [5, 8, 2]
        assert tokens[1].full.tolist() == [6, 7, 9]
        assert masks[0].all_assistant_mask.tolist() == [False, True, True]
        assert log_probs[1].full.tolist() == [0, 0, -3]
        assert not tokens[0].padded
