"""Every registered scheme passes the kit, and broken ones do not."""

import pytest
import torch

from rl.core.testing import check_weight_sync
from rl.core.weights import (
    WEIGHT_SYNC,
    MultiProcessWeightSyncScheme,
    NoWeightSyncScheme,
    SharedMemWeightSyncScheme,
    WeightSyncScheme,
)

# the other half of a scheme that moves nothing
RESTING = {"none"}


@pytest.mark.parametrize("strategy", ["tensordict", "state_dict"])
@pytest.mark.parametrize("name", sorted(WEIGHT_SYNC.names()))
def test_every_registered_scheme(name, strategy):
    def make():
        scheme = WeightSyncScheme.from_backend(name, strategy=strategy)
        scheme.timeout_s = 30.0
        return scheme

    check_weight_sync(make, moves_weights=name not in RESTING, mp_context="forkserver")


def test_with_spawned_processes():
    check_weight_sync(lambda: SharedMemWeightSyncScheme(timeout_s=60.0), updates=1)


def test_weights_of_their_own_for_each_worker():
    check_weight_sync(
        lambda: SharedMemWeightSyncScheme(per_worker_weights=True, timeout_s=30.0),
        mp_context="forkserver",
    )


class Changes(SharedMemWeightSyncScheme):
    def apply_weights(self, weights, inplace=True):
        super().apply_weights(weights, inplace)
        with torch.no_grad():
            self.model.level += 1


class Replaces(SharedMemWeightSyncScheme):
    def apply_weights(self, weights, inplace=True):
        super().apply_weights(weights, inplace)
        self.model.level = self.model.level.clone()


class Forgets(MultiProcessWeightSyncScheme):
    def loaded_versions(self):
        return [0] * self.num_workers


class StaysAtZero(SharedMemWeightSyncScheme):
    def receive(self, timeout=None):
        found = super().receive(timeout)
        self.version = 0
        return found


class TakesAnything(MultiProcessWeightSyncScheme):
    def send_async(self, weights=None, worker_ids=None):
        if not isinstance(weights, dict):
            super().send_async(weights, worker_ids)


class Ignores(MultiProcessWeightSyncScheme):
    def send(self, weights=None, worker_ids=None):
        try:
            super().send(weights, worker_ids)
        except RuntimeError:
            return


class Moves(NoWeightSyncScheme):
    def init_on_receiver(self, *, model, **kwargs):
        super().init_on_receiver(**kwargs)
        self.model = model

    def receive(self, timeout=None):
        with torch.no_grad():
            self.model.level += 1


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Changes, "after `connect`, receiver 0 has other weights than were sent"),
        (Replaces, "receiver 0 has other tensors: not loaded in place"),
        (Forgets, "after update 1, the sender does not know the version of 0"),
        (StaysAtZero, "the sender does not know the version"),
        (TakesAnything, "weights with other names or shapes are sent"),
        (Ignores, "`send` to a killed receiver raises no WorkerError"),
        (Moves, "it moves nothing, and a receiver's module changed"),
    ],
)
def test_the_kit_notices(kind, message):
    def make():
        scheme = kind()
        scheme.timeout_s = 20.0
        return scheme

    with pytest.raises(AssertionError, match=message):
        check_weight_sync(make, moves_weights=kind is not Moves, mp_context="forkserver")
