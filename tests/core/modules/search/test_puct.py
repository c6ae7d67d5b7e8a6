import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import MissingKeyError, RLError, ShapeError
from rl.core.modules import PUCTScore


def node(*batch, total=None):
    td = TensorDict(
        win_count=torch.tensor([6.0, 0.0, -3.0]),
        visits=torch.tensor([9, 0, 6]),
        prior_prob=torch.tensor([0.5, 0.3, 0.2]),
    ).expand(*batch)
    return td.set("total_visits", torch.tensor(16) if total is None else total)


def test_by_hand():
    # sqrt(16) = 4: 6/9 + 2*0.5*4/10, 0 + 2*0.3*4/1, -3/6 + 2*0.2*4/7
    score = PUCTScore(c=2.0)(node())["score"]
    torch.testing.assert_close(score, torch.tensor([6 / 9 + 0.4, 2.4, -0.5 + 1.6 / 7]))


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_batched(shape):
    total = torch.tensor([16, 64]).reshape(shape)
    score = PUCTScore(c=2.0)(node(2, total=total))["score"]
    torch.testing.assert_close(score[0], PUCTScore(c=2.0)(node())["score"])
    torch.testing.assert_close(score[1, 1], torch.tensor(4.8))


def test_nested_keys():
    td = TensorDict({("tree", "w"): torch.ones(2), "n": torch.ones(2), "N": torch.tensor(1.0)})
    td["p"] = torch.full((2,), 0.5)
    score = PUCTScore(
        c=1.0,
        win_count_key=("tree", "w"),
        visits_key="n",
        total_visits_key="N",
        prior_prob_key="p",
        score_key=("tree", "score"),
    )
    assert score(td)["tree", "score"].tolist() == [1.25, 1.25]


def test_bad_input():
    with pytest.raises(RLError, match="at least 0"):
        PUCTScore(c=-1.0)
    with pytest.raises(MissingKeyError, match="prior_prob"):
        PUCTScore(c=1.0)(node().exclude("prior_prob"))
    with pytest.raises(ShapeError, match=r"expected \[\] or \[1\].*one count of the parent"):
        PUCTScore(c=1.0)(node(total=torch.ones(3)))
