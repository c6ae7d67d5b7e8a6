import io
import sys

import pytest
import torch

from rl.core.errors import MissingDependencyError
from rl.core.loggers import TensorboardLogger

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

event_accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", exc_type=ImportError
)


@pytest.fixture
def logger(tmp_path):
    logger = TensorboardLogger("run", str(tmp_path))
    yield logger
    logger.close()


def read(logger):
    logger.flush()
    events = event_accumulator.EventAccumulator(str(logger.folder))
    return events.Reload()


def test_scalars(logger):
    logger.log_scalar("loss", 0.5, step=10)
    logger.log_scalar("loss", 0.25)
    assert [(e.step, e.value) for e in read(logger).Scalars("loss")] == [(10, 0.5), (11, 0.25)]


def test_metrics_nest(logger):
    logger.log_metrics({"a": {"b": 1.0}}, step=2)
    assert read(logger).Tags()["scalars"] == ["a/b"]


def test_histogram(logger):
    logger.log_histogram("w", torch.tensor([0.0, 1.0, 3.0]), step=1)
    (event,) = read(logger).Histograms("w")
    assert (event.step, event.histogram_value.num, event.histogram_value.sum) == (1, 3.0, 4.0)


def test_video_is_an_animated_image(logger):
    image = pytest.importorskip("PIL.Image")
    video = torch.zeros(4, 3, 8, 6, dtype=torch.uint8)
    video[2:] = 255
    logger.log_video("v", video, step=5)
    (event,) = read(logger).Images("v")
    assert (event.step, event.height, event.width) == (5, 8, 6)
    with image.open(io.BytesIO(event.encoded_image_string)) as gif:
        assert gif.n_frames >= 2


def test_hparams(logger):
    logger.log_hparams({"lr": 0.1, "net": {"hidden": (64, 64)}, "name": None})
    assert "_hparams_/session_start_info" in read(logger).summary_metadata


def test_missing_tensorboard_says_the_pip_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.setattr("rl.core.loggers.tensorboard.torch_tensorboard._module", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "rl-core\[tensorboard\]"'):
        TensorboardLogger("run", str(tmp_path))
