import pytest
import torch
from tensordict import TensorDict

from rl.core.checkpoint import load_state
from rl.core.errors import RLError
from rl.objectives.trainers import Trainer, TrainingError, Watchdog

NAN = float("nan")


class Ones(list):
    def state_dict(self):
        return {}

    def load_state_dict(self, state_dict): ...


def make_trainer(loss, weight, num_batches=3, advantage=None, **kwargs):
    batch = TensorDict({"x": torch.ones(4, 1)}, [4])
    if advantage is not None:
        batch["advantage"] = advantage
    return Trainer(
        collector=Ones([batch] * num_batches),
        total_frames=4 * num_batches,
        optim_steps_per_batch=1,
        loss_module=loss,
        optimizer=torch.optim.SGD([weight], lr=0.5),
        **kwargs,
    )


@pytest.fixture
def weight():
    return torch.ones(1, requires_grad=True)


def test_a_loss_that_is_nan_stops_the_run_and_saves_it(weight, tmp_path):
    calls = iter([1.0, NAN])

    def loss(batch):
        return TensorDict({"loss_a": weight.sum() * next(calls), "loss_b": weight.sum() * 0})

    trainer = make_trainer(loss, weight, save_trainer_file=tmp_path / "run")
    with pytest.raises(TrainingError, match=r"`loss_a` is nan.*run-stopped") as caught:
        trainer.train()
    assert isinstance(caught.value, RLError)
    assert (caught.value.key, caught.value.step) == ("loss_a", 1)
    assert weight.item() == 0.5  # of the first step alone
    assert (tmp_path / "run-stopped").is_dir()
    assert load_state(tmp_path / "run-stopped")["trainer"]["collected_frames"] == 8


def test_gradients_that_are_not_finite_move_nothing(weight):
    def loss(batch):
        return TensorDict({"loss": (weight - 1).abs().sqrt().sum()})  # its slope at 0 is no number

    with pytest.raises(TrainingError, match="norm of the gradients is nan") as caught:
        make_trainer(loss, weight).train()
    assert caught.value.key == "grad_norm"
    assert weight.item() == 1.0


@pytest.mark.parametrize(("patience", "stops"), [(2, True), (3, False)])
def test_batches_without_advantage(weight, patience, stops):
    def loss(batch):
        return TensorDict({"loss": weight.square().sum()})

    trainer = make_trainer(
        loss, weight, advantage=torch.zeros(4, 1), watchdog=Watchdog(patience=patience)
    )
    if not stops:
        trainer.train()
        return
    with pytest.raises(TrainingError, match="check that the reward varies") as caught:
        trainer.train()
    assert caught.value.key == "advantage"


@pytest.mark.parametrize(
    ("entropy", "min_entropy", "stops"),
    [(0.0, None, True), (0.5, None, False), (-3.0, None, False), (0.5, 0.6, True)],
)
def test_collapsed_entropy(weight, entropy, min_entropy, stops):
    def loss(batch):
        return TensorDict({"loss": weight.square().sum(), "entropy": torch.tensor(entropy)})

    watchdog = Watchdog(patience=1, min_entropy=min_entropy)
    trainer = make_trainer(loss, weight, watchdog=watchdog)
    if not stops:
        trainer.train()
        return
    with pytest.raises(TrainingError, match="raise `entropy_coeff`") as caught:
        trainer.train()
    assert caught.value.key == "entropy"


def test_without_a_watchdog_nothing_stops(weight):
    trainer = make_trainer(
        lambda batch: TensorDict({"loss": weight.sum() * NAN}), weight, watchdog=False
    )
    trainer.train()
    assert weight.isnan().all()
