import dataclasses

import numpy as np
import pytest
import torch
from tensordict import TensorDict

from rl.core.loggers import CSVLogger


@pytest.fixture
def logger(tmp_path):
    logger = CSVLogger("run", str(tmp_path))
    yield logger
    logger.close()


def lines(logger, path):
    return (logger.folder / path).read_text().splitlines()


def test_scalars_are_lines_of_step_and_value(logger):
    logger.log_scalar("train/loss", 0.1, step=3)
    logger.log_scalar("train/loss", torch.tensor([2.0]))
    assert lines(logger, "scalars/train/loss.csv") == ["3,0.1", "4,2.0"]


def test_steps_count_from_zero_per_name(logger):
    for value in (5.0, 6.0):
        logger.log_scalar("a", value)
    logger.log_scalar("b", 7.0)
    assert lines(logger, "scalars/a.csv") == ["0,5.0", "1,6.0"]
    assert lines(logger, "scalars/b.csv") == ["0,7.0"]


def test_a_line_is_there_before_close(logger):
    logger.log_scalar("a", 1.0)
    assert lines(logger, "scalars/a.csv") == ["0,1.0"]


def test_metrics_nest_and_come_back_by_name(logger):
    td = TensorDict({"loss": torch.tensor(1.5), "grad": {"norm": torch.tensor([2.0])}})
    assert logger.log_metrics(td, step=4) == {"loss": 1.5, "grad/norm": 2.0}
    assert logger.log_metrics({"a": {"b": 1}}, keys_sep=".") == {"a.b": 1.0}
    assert lines(logger, "scalars/grad/norm.csv") == ["4,2.0"]


@pytest.mark.parametrize("value", [torch.zeros(2), "high", None, [1.0, 2.0]])
def test_what_is_not_one_number_is_refused(logger, value):
    with pytest.raises(ValueError, match=r"Metric `x`.*expected one number"):
        logger.log_metrics({"good": 1.0, "x": value})
    assert not (logger.folder / "scalars").exists(), "nothing half-logged"


@pytest.mark.parametrize("name", ["../out", "/etc/x", "a/../../b"])
def test_names_stay_in_the_folder(logger, name):
    with pytest.raises(ValueError, match="leaves the log folder"):
        logger.log_scalar(name, 1.0)


def test_hparams_of_mappings_and_dataclasses(logger):
    @dataclasses.dataclass
    class Config:
        lr: float = 0.1
        env: dict = dataclasses.field(default_factory=lambda: {"name": "Pendulum-v1"})

    logger.log_hparams(Config())
    logger.log_hparams({"seed": None})
    assert lines(logger, "texts/hparams0.txt") == ["lr: 0.1", "env.name: Pendulum-v1"]
    assert lines(logger, "texts/hparams1.txt") == ["seed: None"]


def test_histogram_counts_by_bin(logger):
    logger.log_histogram("w", torch.tensor([0.0, 0.1, 1.0]), step=2, bins=2)
    assert lines(logger, "histograms/w.csv") == ["2,0,0.5,2", "2,0.5,1,1"]


def test_video_as_npy(logger):
    video = torch.arange(2 * 3 * 4 * 5, dtype=torch.uint8).reshape(1, 2, 3, 4, 5)
    logger.log_video("v", video, step=9)
    saved = np.load(logger.folder / "videos/v_9.npy", allow_pickle=False)
    np.testing.assert_array_equal(saved, video[0].permute(0, 2, 3, 1).numpy())


def test_video_as_mp4(tmp_path):
    av = pytest.importorskip("av")
    logger = CSVLogger("run", str(tmp_path), video_format="mp4", video_fps=10)
    video = torch.zeros(6, 1, 33, 47, dtype=torch.uint8)
    video[3:] = 200
    logger.log_video("v", video)
    with av.open(str(logger.folder / "videos/v_0.mp4")) as container:
        frames = [f.to_ndarray(format="gray") for f in container.decode(video=0)]
        assert float(container.streams.video[0].average_rate) == 10.0
    assert [frame.shape for frame in frames] == [(34, 48)] * 6
    assert abs(frames[0].mean() - 0) < 20
    assert abs(frames[-1].mean() - 200) < 20


@pytest.mark.parametrize(
    ("video", "fix"),
    [
        (torch.zeros(2, 3, 4, 4), r"\.to\(torch.uint8\)"),
        (torch.zeros(2, 4, 4, 3, dtype=torch.uint8), "`permute` puts channels"),
        (torch.zeros(2, 2, 3, 4, 4, dtype=torch.uint8), "one by one"),
    ],
)
def test_what_is_no_video_is_refused(logger, video, fix):
    with pytest.raises(ValueError, match=fix):
        logger.log_video("v", video)


def test_unknown_video_format_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected `npy` or `mp4`"):
        CSVLogger("run", str(tmp_path), video_format="pt")


def test_state_goes_on_counting(logger, tmp_path):
    logger.log_scalar("a", 1.0, step=10)
    again = CSVLogger("run", str(tmp_path))
    again.load_state_dict(logger.state_dict())
    again.log_scalar("a", 2.0)
    again.close()
    assert lines(logger, "scalars/a.csv") == ["10,1.0", "11,2.0"]


def test_default_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    logger = CSVLogger("run")
    logger.log_scalar("a", 1.0)
    logger.close()
    assert (tmp_path / "csv_logs" / "run" / "scalars" / "a.csv").exists()
