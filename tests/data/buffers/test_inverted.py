import torch
from tensordict import TensorDict

from rl.core import Transform
from rl.data.buffers.inverted import Inverted


class Double(Transform):
    def _apply_transform(self, tensor):
        return tensor * 2

    def _inv_apply_transform(self, tensor):
        return tensor / 2


def test_directions_are_swapped():
    inverted = Inverted(Double(in_keys=["x"], in_keys_inv=["x"]))
    td = TensorDict({"x": torch.tensor(8.0)})
    assert inverted(td)["x"] == 4.0
    assert inverted.inv(td)["x"] == 16.0
    assert td["x"] == 8.0
