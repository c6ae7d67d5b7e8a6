"""The conformance kit finds what it looks for."""

import pytest
import torch

from rl.core import Transform, Unbounded
from rl.core.testing import check_transform


class Lies(Transform):
    """Gives float64 and declares float32."""

    def _apply_transform(self, tensor):
        return tensor.double()


class Silent(Transform):
    """Writes an entry that it does not declare."""

    def _call(self, next_tensordict):
        return next_tensordict.set("extra", torch.zeros(*next_tensordict.shape, 1))


class Promises(Transform):
    """Declares an entry that it does not write."""

    def transform_observation_spec(self, observation_spec):
        observation_spec["extra"] = Unbounded((*observation_spec.shape, 1))
        return observation_spec


class Shares(Transform):
    """Its clones share a buffer with it."""

    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def _call(self, next_tensordict):
        self.count.add_(1)
        return next_tensordict

    def clone(self):
        copy = Shares()
        copy.count = self.count
        return copy


class Batch(Transform):
    """Says that it is batchable, and looks at other rows."""

    batchable = True

    def _apply_transform(self, tensor):
        return tensor / tensor.abs().sum().clamp_min(1)


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: Lies(["observation"]), "`observation` is torch.float64, its spec torch.float32"),
        (Silent, "the data have `extra`, which no spec declares"),
        (Promises, "the data lack `extra`, which the specs declare"),
        (Shares, "the original changes the state of its clone"),
        (lambda: Batch(["observation"]), "`observation` of a batched step differs"),
    ],
)
def test_faults(counting, make, fault):
    with pytest.raises(AssertionError, match=fault):
        check_transform(make(), counting())
