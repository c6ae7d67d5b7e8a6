import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import MissingKeyError
from rl.core.modules import GRUModule, LSTMModule, canonicalize_rnn_subset


@pytest.fixture
def data():
    """Time-first storage seen batch first: nothing is laid out without gaps."""
    entries = {"x": (5, 2, 3), "z": (5, 2, 3), "recurrent_state": (5, 2, 1, 4)}
    td = TensorDict({key: torch.randn(shape).transpose(0, 1) for key, shape in entries.items()})
    td.batch_size = [2, 5]
    return td


MODULES = [
    GRUModule(3, 4, in_key="x", out_key="y"),
    LSTMModule(3, 4, in_key="x", out_key="y"),
]


def test_lays_out_what_is_read(data):
    result = canonicalize_rnn_subset(data, MODULES)
    assert {key for key, value in result.items() if value.is_contiguous()} == {
        "x",
        "recurrent_state",
    }
    assert (result == data).all()
    assert not data["x"].is_contiguous()
    assert canonicalize_rnn_subset(result, MODULES)["x"] is result["x"]


def test_in_place(data):
    assert canonicalize_rnn_subset(data, MODULES, inplace=True) is data
    assert data["x"].is_contiguous()


def test_method(data):
    assert MODULES[0].canonical_keys == ["x", "recurrent_state", "is_init"]
    assert MODULES[1].canonicalize(data)["x"].is_contiguous()
    assert not MODULES[1].canonicalize(data)["recurrent_state"].is_contiguous()


def test_absent_input(data):
    with pytest.raises(MissingKeyError, match="Did you mean `xx`"):
        canonicalize_rnn_subset(data.rename_key_("x", "xx"), MODULES)
