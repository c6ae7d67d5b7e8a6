import matplotlib
import numpy as np
import pytest

from rl.core.runs.curve import band, draw_curve, smooth


def test_smooth_averages_what_came_before():
    np.testing.assert_allclose(smooth(np.array([2.0, 4.0, 9.0, 1.0]), 3), [2.0, 3.0, 5.0, 14 / 3])


def test_smooth_with_window_one_is_the_identity():
    values = np.random.default_rng(0).normal(size=20)
    np.testing.assert_allclose(smooth(values, 1), values)


def test_band_spans_what_all_runs_cover():
    frames, mean, low, high = band([[(0, 0.0), (100, 10.0)], [(50, 1.0), (200, 1.0)], []])
    assert (frames[0], frames[-1]) == (50, 100)
    assert (low[0], mean[0], high[0]) == pytest.approx((1.0, 3.0, 5.0))
    assert (low <= mean).all()
    assert (mean <= high).all()


def test_band_of_nothing_is_empty():
    assert [len(part) for part in band([[]])] == [0, 0, 0, 0]


def settings():
    """Every setting as it is stored: reading `rcParams["backend"]` would choose one."""
    return {key: dict.__getitem__(matplotlib.rcParams, key) for key in matplotlib.rcParams}


def test_drawing_leaves_matplotlib_as_it_was(tmp_path):
    before = settings()
    draw_curve(
        tmp_path / "c.svg", {"ppo": [[(0, 1.0), (5, 2.0)], [(0, 2.0), (5, 3.0)]], "none": []}
    )
    assert settings() == before
    assert "<svg" in (tmp_path / "c.svg").read_text()
