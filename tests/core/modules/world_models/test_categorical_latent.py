import math

import pytest
import torch

from rl.core.errors import RLError
from rl.core.modules.world_models.categorical_latent import check_unimix, draw_latent, mix_uniform


def test_mix_by_hand():
    logits = torch.tensor([math.log(3.0), 0.0])  # 0.75 and 0.25
    probs = mix_uniform(logits, 0.2).exp()
    torch.testing.assert_close(probs, torch.tensor([0.8 * 0.75 + 0.1, 0.8 * 0.25 + 0.1]))
    assert mix_uniform(logits, 0.0) is logits


def test_no_class_is_impossible():
    logits = torch.tensor([[0.0, -1e4, -torch.inf]], requires_grad=True)
    mixed = mix_uniform(logits, 0.01)
    torch.testing.assert_close(mixed[0, 1:].exp(), torch.full((2,), 0.01 / 3))
    mixed[..., :2].sum().backward()
    assert logits.grad.isfinite().all()


def test_draws():
    torch.manual_seed(0)
    probs = torch.tensor([[0.2, 0.8], [0.5, 0.5]], requires_grad=True)
    draws = draw_latent(probs.log().expand(20_000, 2, 2))
    assert draws.shape == (20_000, 4)
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(draws.mean(0), probs.flatten(), atol=0.02, rtol=0)
    draws[:, 1].mean().backward()
    # that of softmax(log p)_1 = p_1 / (p_0 + p_1)
    torch.testing.assert_close(probs.grad[0], torch.tensor([-0.8, 0.2]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("unimix", [-0.1, 1.0])
def test_bad_share(unimix):
    with pytest.raises(RLError, match=r"DreamerV3 has 0\.01"):
        check_unimix("RSSMPriorV3", unimix)
