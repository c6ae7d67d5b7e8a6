import sys

import numpy as np
import pytest
import torch

from rl.core.errors import MissingDependencyError
from rl.core.loggers import write_video

VIDEO = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)


def test_the_folder_is_made(tmp_path):
    write_video(tmp_path / "a" / "b.npy", VIDEO)
    assert np.load(tmp_path / "a" / "b.npy").shape == (2, 4, 4, 3)


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected `.mp4` or `.npy`"):
        write_video(tmp_path / "a.gif", VIDEO)


def test_missing_pyav_says_the_pip_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setattr("rl.core.loggers.video.av._module", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "rl-core\[video\]"'):
        write_video(tmp_path / "a.mp4", VIDEO)
