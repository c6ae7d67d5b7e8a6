import math

import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import MissingKeyError, RLError
from rl.core.modules import UCB1TunedScore, UCBScore

LOG_10 = math.log(10)


def node():
    return TensorDict(
        win_count=torch.tensor([3.0, 0.0, 2.0]),
        visits=torch.tensor([4, 0, 6]),
        total_visits=torch.tensor(10),
        sum_squared_rewards=torch.tensor([2.5, 0.0, 1.0]),
    )


def test_ucb_by_hand():
    score = UCBScore(c=math.sqrt(2))(node())["score"]
    expected = [3 / 4 + math.sqrt(2 * LOG_10 / 4), math.inf, 1 / 3 + math.sqrt(2 * LOG_10 / 6)]
    torch.testing.assert_close(score, torch.tensor(expected))


def test_ucb1_tuned_by_hand():
    td = node().set("visits", torch.tensor([400, 0, 600])).set("total_visits", torch.tensor(1000))
    td["win_count"] = torch.tensor([300.0, 0.0, 60.0])
    td["sum_squared_rewards"] = torch.tensor([300.0, 0.0, 6.0])
    # variances 1 - 0.75^2 beyond a quarter, and 0.01 - 0.1^2 = 0
    log = math.log(1000)
    expected = [
        0.75 + math.sqrt(log / 400 * 0.25),
        math.inf,
        0.1 + math.sqrt(log / 600 * math.sqrt(0.5 * log / 600)),
    ]
    score = UCB1TunedScore(exploration_constant=0.5)(td)["score"]
    torch.testing.assert_close(score, torch.tensor(expected))


@pytest.mark.parametrize("score", [UCBScore(c=1.0), UCB1TunedScore()], ids=["ucb", "tuned"])
class TestBoth:
    def test_the_first_visit_is_to_the_unvisited(self, score):
        td = node().apply(torch.zeros_like)
        assert score(td)["score"].tolist() == [math.inf] * 3
        assert score(node())["score"].argmax() == 1

    def test_batched_and_vmap(self, score):
        batch = torch.stack([node(), node().set("total_visits", torch.tensor(40))])
        rows = torch.stack([score(row.clone())["score"] for row in batch])
        torch.testing.assert_close(score(batch.clone())["score"], rows)
        torch.testing.assert_close(torch.vmap(score)(batch.clone())["score"], rows)

    def test_missing_key(self, score):
        with pytest.raises(MissingKeyError, match="total_visits"):
            score(node().exclude("total_visits"))


def test_bad_constant():
    with pytest.raises(RLError, match="`c` is nan"):
        UCBScore(c=math.nan)
    with pytest.raises(RLError, match="`exploration_constant` is -1"):
        UCB1TunedScore(exploration_constant=-1)
