"""The conformance kit finds what it looks for."""

import pytest
import torch

from rl.core import Bounded, Transform, Unbounded
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


class Escapes(Transform):
    """Leaves the bounds that it declares."""

    def _apply_transform(self, tensor):
        return tensor + 100

    def _transform_spec(self, spec):
        return Bounded(-1.0, 1.0, spec.shape)


class Shrinks(Transform):
    """Gives another shape than it declares."""

    def _apply_transform(self, tensor):
        return torch.cat([tensor, tensor], -1)


class Forgets(Transform):
    """Has a state that it does not load."""

    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def _call(self, next_tensordict):
        self.count.add_(1)
        return next_tensordict

    def load_state_dict(self, state_dict, *args, **kwargs):
        pass


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: Escapes(["observation"]), "`observation` lies outside of its spec"),
        (lambda: Shrinks(["observation"]), r"`observation` has shape \[6\], its spec \[3\]"),
        (Forgets, "a fresh transform does not have the state that it loaded"),
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
