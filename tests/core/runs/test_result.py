import math

from rl.core.runs import Evaluation, Result, versions


def test_evaluation_moments():
    evaluation = Evaluation([2.0, 4.0, 9.0])
    assert evaluation.mean == 5.0
    assert math.isclose(evaluation.std, math.sqrt(26 / 3))


def test_evaluation_of_nothing_is_nan():
    assert math.isnan(Evaluation([]).mean)
    assert math.isnan(Evaluation([]).std)


def test_result_json_has_the_seven_fields():
    content = Result(1.0, 0.5, 10, 2.0, 5.0, 3, {"torch": "2"}).to_json()
    assert list(content) == [
        "eval_return_mean",
        "eval_return_std",
        "frames",
        "wall_s",
        "fps",
        "seed",
        "versions",
    ]


def test_versions_hold_only_what_is_installed():
    found = versions()
    assert found["rl-core"] == "0.1.0"
    assert all(found.values())
