import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.core.distributions import token
from rl.core.distributions.token import chosen_log_prob, row_chunks


def slow(logits, index, mask=None):
    if mask is not None:
        logits = logits.masked_fill(~mask, -torch.inf)
    return logits.log_softmax(-1).gather(-1, index.unsqueeze(-1)).squeeze(-1)


@given(st.integers(1, 40), st.integers(1, 9), st.booleans(), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_scores_and_gradients_equal_the_slow_way(rows, classes, masked, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = 5 * torch.randn(rows, classes, generator=generator, dtype=torch.float64)
    index = torch.randint(classes, (rows,), generator=generator)
    mask = None
    if masked:
        mask = torch.rand(rows, classes, generator=generator) < 0.6
        mask.scatter_(-1, index.unsqueeze(-1), True)
    weight = torch.randn(rows, generator=generator, dtype=torch.float64)
    results = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token, "_CHUNK_ELEMENTS", 3 * classes)  # some chunks, the last not full
        for function in (chosen_log_prob, slow):
            leaf = logits.clone().requires_grad_()
            score = function(leaf, index, mask)
            (score * weight).sum().backward()
            results.append((score.detach(), leaf.grad))
    torch.testing.assert_close(*results)


def test_gradcheck():
    logits = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    index = torch.randint(4, (2, 3))
    assert torch.autograd.gradcheck(lambda x: chosen_log_prob(x, index), (logits,))


def test_inputs_are_left_alone():
    logits = torch.randn(2, 4, requires_grad=True)
    before = logits.detach().clone()
    chosen_log_prob(logits, torch.tensor([0, 1])).sum().backward()
    assert torch.equal(logits.detach(), before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_scored_in_float32(dtype):
    torch.manual_seed(0)
    logits = (10 * torch.randn(50, 1000)).to(dtype).requires_grad_()
    index = torch.randint(1000, (50,))
    score = chosen_log_prob(logits, index)
    assert score.dtype == torch.float32
    exact = slow(logits.detach().double(), index)
    torch.testing.assert_close(score.detach().double(), exact, rtol=1e-6, atol=1e-5)
    score.sum().backward()
    assert logits.grad.dtype == dtype


def test_rows_without_a_legal_class_and_illegal_choices_do_not_spread():
    logits = torch.randn(3, 2, requires_grad=True)
    mask = torch.tensor([[False, False], [True, False], [True, True]])
    score = chosen_log_prob(logits, torch.tensor([0, 1, 0]), mask)
    assert score[:2].tolist() == [-torch.inf, -torch.inf]
    score[2].backward()
    assert logits.grad.isfinite().all()
    assert not logits.grad[:2].any()


def test_chunks_cover_all_rows(monkeypatch):
    monkeypatch.setattr(token, "_CHUNK_ELEMENTS", 10)
    rows = torch.arange(7 * 4).reshape(7, 4)
    assert torch.equal(torch.cat([rows[part] for part in row_chunks(rows)]), rows)
    assert len(list(row_chunks(rows))) == 4
    assert len(list(row_chunks(torch.zeros(3, 1000)))) == 3
