import pytest

from rl.core.modules import EXP3Score, MCTSScores, PUCTScore, UCB1TunedScore, UCBScore


@pytest.mark.parametrize(
    ("member", "kind", "constant"),
    [
        (MCTSScores.PUCT, PUCTScore, ("c", 5)),
        (MCTSScores.UCB, UCBScore, ("c", 2**0.5)),
        (MCTSScores.UCB1_TUNED, UCB1TunedScore, ("exploration_constant", 2.0)),
        (MCTSScores.EXP3, EXP3Score, ("gamma", 0.1)),
    ],
)
def test_builds(member, kind, constant):
    for score in (member(), member.value()):
        assert type(score) is kind
        assert getattr(score, constant[0]) == constant[1]
    assert member() is not member()


def test_members():
    assert [member.name for member in MCTSScores] == ["PUCT", "UCB", "UCB1_TUNED", "EXP3"]
