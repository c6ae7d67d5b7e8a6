import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.core.errors import MissingKeyError, RLError, ShapeError
from rl.core.modules import EXP3Score


def node(*weights):
    return TensorDict(weights=torch.tensor(weights))


def test_by_hand():
    out = EXP3Score(gamma=0.2)(node(1.0, 3.0, 4.0).set("num_actions", torch.tensor(3)))
    # 0.8 * (1, 3, 4) / 8 + 0.2 / 3
    expected = torch.tensor([0.1, 0.3, 0.4]) + 0.2 / 3
    torch.testing.assert_close(out["score"], expected)
    assert torch.equal(out["action_prob"], out["score"])


@given(st.lists(st.floats(0.25, 128, width=32), min_size=1, max_size=6), st.floats(0, 1))
def test_is_a_distribution(weights, gamma):
    score = EXP3Score(gamma=gamma)(node(*weights))["score"]
    torch.testing.assert_close(score.sum(), torch.tensor(1.0))
    assert (score >= gamma / len(weights) - 1e-6).all()


def test_update_by_hand():
    exp3, td = EXP3Score(gamma=0.5), node(1.0, 3.0)
    exp3(td)
    exp3.update_weights(td, 1, 0.4)
    # p = 0.5 * 0.75 + 0.25 = 0.625: 3 exp(0.5 / 2 * 0.4 / 0.625)
    torch.testing.assert_close(td["weights"], torch.tensor([1.0, 3 * math.exp(0.16)]))
    td["reward"] = torch.tensor([1.0])
    exp3.update_weights(td, torch.tensor(0))
    # the score is that of the draw: p = 0.375
    torch.testing.assert_close(td["weights"][0], torch.tensor(math.exp(0.25 / 0.375)))


def test_update_of_a_batch():
    exp3 = EXP3Score()
    rows = [node(1.0, 2.0), node(5.0, 1.0)]
    batch = torch.stack([row.clone() for row in rows])
    exp3(batch)
    exp3.update_weights(batch, torch.tensor([1, 0]), torch.tensor([0.5, 1.0]))
    for row, action, reward in zip(rows, (1, 0), (0.5, 1.0), strict=True):
        exp3.update_weights(exp3(row), action, reward)
    torch.testing.assert_close(batch["weights"], torch.stack([row["weights"] for row in rows]))
    common = exp3(torch.stack(rows))
    exp3.update_weights(common, 1, 0.5)
    exp3.update_weights(exp3(rows[0]), 1, 0.5)
    torch.testing.assert_close(common["weights"][0], rows[0]["weights"])


def test_learns_the_better_arm():
    torch.manual_seed(0)
    exp3, td = EXP3Score(), node(1.0, 1.0, 1.0)
    for _ in range(400):
        action = exp3(td)["score"].multinomial(1).item()
        exp3.update_weights(td, action, float(action == 2))
    assert exp3(td)["score"][2] > 0.9


def test_bad_input():
    with pytest.raises(RLError, match=r"0\.1 is a start"):
        EXP3Score(gamma=1.1)
    exp3 = EXP3Score(gamma=0.0)
    with pytest.raises(MissingKeyError, match="weights"):
        exp3(TensorDict({}))
    with pytest.raises(ShapeError, match="one weight for each action"):
        exp3(node(1.0, 2.0).set("num_actions", torch.tensor(3)))
    td = exp3(node(1.0, 0.0))
    for reward in (1.5, -0.1, math.nan):
        with pytest.raises(RLError, match="scale the rewards"):
            exp3.update_weights(td, 0, reward)
    with pytest.raises(RLError, match="`gamma` above 0"):
        exp3.update_weights(td, 1, 0.5)
    with pytest.raises(MissingKeyError, match="score"):
        exp3.update_weights(node(1.0), 0, 0.5)
    with pytest.raises(MissingKeyError, match=r"reward.*_key="):
        exp3.update_weights(td, 0)
    with pytest.raises(ShapeError, match="one for each node"):
        exp3.update_weights(td, torch.tensor([0, 1, 0]), 0.5)
