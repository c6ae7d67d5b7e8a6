import json

import numpy as np
import pytest
import torch

from rl.core.loggers.base import Logger, as_video, flatten, numbers_of, plain


class Recorder(Logger):
    """Keeps what it is given."""

    def __init__(self):
        super().__init__("run", "logs")
        self.written = []

    def _write_scalar(self, name, value, step):
        self.written.append((name, value, step))

    def log_video(self, name, video, step=None, **kwargs):
        self.written.append((name, as_video(name, video).shape, self._step(name, step)))

    def log_hparams(self, cfg):
        self.written.append(dict(flatten(cfg)))

    def log_histogram(self, name, data, step=None, **kwargs):
        self.written.append((name, len(data), self._step(name, step)))


def test_steps_are_shared_by_kinds_of_one_name():
    logger = Recorder()
    logger.log_scalar("a", 1.0, step=4)
    logger.log_histogram("a", [1.0])
    assert logger.written == [("a", 1.0, 4), ("a", 1, 5)]


def test_state_dict_holds_what_a_checkpoint_can():
    logger = Recorder()
    logger.log_scalar("a", 1.0)
    assert logger.state_dict() == {"exp_name": "run", "log_dir": "logs", "next_step": {"a": 1}}


def test_gray_videos_become_colour():
    assert as_video("v", torch.zeros(2, 1, 4, 5, dtype=torch.uint8)).shape == (2, 4, 5, 3)


def test_flatten_keeps_lists_whole():
    assert dict(flatten({"a": {"b": [1, 2]}}, ".")) == {"a.b": [1, 2]}


def test_a_logger_is_its_own_client_and_lives_until_it_is_closed():
    logger = Recorder()
    assert logger.start() is logger
    assert logger.client() is logger
    assert logger.service_backend == "direct"
    assert logger.is_alive
    logger.shutdown()
    logger.shutdown()
    assert not logger.is_alive


def test_plain_settings_are_what_json_holds():
    cfg = {
        "a": np.float32(0.5),
        "b": (1, [torch.tensor([2.0])]),
        "c": {3: torch.float32, "d": None},
    }
    expected = {"a": 0.5, "b": [1, [[2.0]]], "c": {"3": "torch.float32", "d": None}}
    assert plain(cfg) == json.loads(json.dumps(plain(cfg))) == expected


def test_numbers_of_an_accelerator_come_in_one_transfer(monkeypatch):
    """As if the CPU were one: whole vectors of numbers are fetched, never single ones."""
    fetched = []
    tolist, item = torch.Tensor.tolist, torch.Tensor.item
    monkeypatch.setattr(
        "rl.core.loggers.base._is_remote",
        lambda value: isinstance(value, torch.Tensor) and value.numel() == 1,
    )
    monkeypatch.setattr(
        torch.Tensor, "tolist", lambda self: fetched.append(self.shape) or tolist(self)
    )
    monkeypatch.setattr(torch.Tensor, "item", lambda self: fetched.append("item") or item(self))
    metrics = {
        "a": torch.tensor(0.1, dtype=torch.float64, requires_grad=True),
        "b": {"c": torch.tensor([[2**31 - 1]]), "d": torch.tensor(True)},
        "e": 3,
    }
    assert numbers_of(metrics) == {"a": 0.1, "b/c": 2.0**31 - 1, "b/d": 1.0, "e": 3.0}
    assert fetched == [(3,)]
    with pytest.raises(ValueError, match="Metric `x` is a Tensor of shape"):
        numbers_of({"x": torch.zeros(2)})
