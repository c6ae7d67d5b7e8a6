import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rl.core import ShapeError
from rl.envs.transforms.functional import cat_frames, rgb_to_grayscale


def test_grayscale_weights():
    image = torch.tensor([1.0, 10.0, 100.0]).view(3, 1, 1)
    assert rgb_to_grayscale(image).item() == pytest.approx(0.299 + 5.87 + 11.4)
    red = torch.tensor([255, 0, 0], dtype=torch.uint8).view(3, 1, 1)
    assert rgb_to_grayscale(red).item() == 76  # 76.245
    with pytest.raises(ShapeError, match="put the channels first"):
        rgb_to_grayscale(torch.zeros(4, 4, 3))


def _naive(values, done, n, padding):
    rows = []
    start = 0
    for t in range(len(values)):
        window = []
        for s in range(t - n + 1, t + 1):
            window.append(values[s] if s >= start else (values[start] if padding == "same" else -1))
        rows.append(window)
        if done[t]:
            start = t + 1
    return rows


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.integers(1, 5), st.booleans())
def test_windows_against_a_loop(done, n, same):
    padding = "same" if same else "constant"
    values = [float(t) for t in range(len(done))]
    data = torch.tensor(values).view(1, -1, 1).expand(2, -1, 1)
    flags = torch.tensor(done).view(1, -1).expand(2, -1)
    result = cat_frames(data, n, -1, done=flags, time_dim=1, padding=padding, padding_value=-1.0)
    assert result[1].tolist() == _naive(values, done, n, padding)


def test_bad_padding():
    with pytest.raises(ShapeError, match='give "same" or "constant"'):
        cat_frames(torch.zeros(2, 1), 2, -1, padding="zero")
