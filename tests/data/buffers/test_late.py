import copy
import pickle

import pytest
import torch
from tensordict import TensorDict

from rl.data import LazyTensorStorage, ReplayBuffer, TensorDictReplayBuffer


class Counted:
    made = 0

    def __call__(self):
        Counted.made += 1
        return LazyTensorStorage(10)


def double(td):
    return td.set("y", td["x"] * 2)


def make_transform():
    return double


def test_a_buffer_is_built_at_its_first_use():
    Counted.made = 0
    rb = TensorDictReplayBuffer(storage=Counted(), batch_size=2, delayed_init=True)
    assert repr(rb) == "TensorDictReplayBuffer(not built yet)"
    assert rb.stats() == {"initialized": False}
    assert rb.batch_size == 2
    assert Counted.made == 0
    rb.extend(TensorDict({"x": torch.arange(3)}, [3]))
    assert (len(rb), Counted.made) == (3, 1)
    assert rb.stats()["initialized"]


def test_a_transform_factory_delays_and_the_recipe_is_sent():
    rb = ReplayBuffer(storage=Counted(), batch_size=2, transform_factory=make_transform)
    for sent in (pickle.loads(pickle.dumps(rb)), copy.deepcopy(rb), rb):
        assert not sent.stats()["initialized"]
        sent.extend(TensorDict({"x": torch.ones(3)}, [3]))
        assert sent.sample()["y"].tolist() == [2.0, 2.0]
    with pytest.raises(AttributeError, match="extand"):
        rb.extand  # noqa: B018
