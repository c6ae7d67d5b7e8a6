import json

import numpy as np
import pytest
import torch

from rl.core.loggers.values import as_video, flatten, numbers_of, plain


def test_gray_videos_become_colour():
    assert as_video("v", torch.zeros(2, 1, 4, 5, dtype=torch.uint8)).shape == (2, 4, 5, 3)


def test_flatten_keeps_lists_whole():
    assert dict(flatten({"a": {"b": [1, 2]}}, ".")) == {"a.b": [1, 2]}


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
        "rl.core.loggers.values._is_remote",
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
