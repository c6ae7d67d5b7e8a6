import pytest
import torch
from tensordict import TensorDict

from rl.core import NotRegisteredError, RLError
from rl.core.errors import CheckpointError
from rl.objectives import DQNLoss, HardUpdate, SoftUpdate
from rl.objectives.trainers import (
    OptimizationStepper,
    OptimizerHook,
    TargetNetUpdaterHook,
    Trainer,
    TrainingError,
)


def make_trainer(collector, loss, **kwargs):
    kwargs = {"total_frames": 12, "frame_skip": 1, "optim_steps_per_batch": 1, **kwargs}
    return Trainer(collector=collector, loss_module=loss, **kwargs)


@pytest.fixture
def sgd(net):
    return torch.optim.SGD(net.parameters(), lr=0.25)


def test_each_step_goes_down(batches, square_loss, net, sgd):
    torch.nn.init.ones_(net.weight)
    trainer = make_trainer(batches, square_loss, optimizer=sgd)
    trainer.train()
    # w <- w - 0.25 * 2w, once per batch
    assert net.weight.item() == 0.5**3
    assert trainer.collected_frames == 12
    assert trainer.optim_count == 3


def test_epochs_and_steps_multiply(batches, square_loss, sgd):
    trainer = make_trainer(
        batches, square_loss, optimizer=sgd, optim_steps_per_batch=2, num_epochs=3
    )
    trainer.train()
    assert trainer.optim_count == 3 * 2 * 3


def test_it_ends_at_total_frames(batches, square_loss, sgd):
    trainer = make_trainer(batches, square_loss, optimizer=sgd, total_frames=20, frame_skip=5)
    trainer.train()
    assert trainer.collected_frames == 20  # one batch of 4 steps of 5 frames


def test_padding_is_no_frame(square_loss, sgd):
    mask = torch.tensor([True, True, False, False])
    batch = TensorDict({"x": torch.ones(4, 1), ("collector", "mask"): mask}, [4])
    trainer = make_trainer([batch], square_loss, optimizer=sgd)
    trainer.train()
    assert trainer.collected_frames == 2


def test_random_frames_are_not_trained_on(square_loss, batches, sgd):
    class Warm(list):
        init_random_frames = 8

    trainer = make_trainer(Warm(batches), square_loss, optimizer=sgd)
    trainer.train()
    assert trainer.optim_count == 2


def test_points_are_called_in_order(batches, square_loss, sgd):
    trainer = make_trainer(batches[:1], square_loss, optimizer=sgd)
    called = []
    for point in ("pre_optim_steps", "post_optim", "post_epoch", "post_steps", "setup", "shutdown"):
        trainer.register_op(point, lambda point=point: called.append(point))
    for point in ("pre_steps_log", "post_optim_log", "post_optim_complete_log", "post_steps_log"):
        trainer.register_op(point, lambda data, point=point: called.append(point))
    for point in ("batch_process", "pre_epoch", "process_optim_batch"):
        trainer.register_op(point, lambda data, point=point: called.append(point) or data)
    trainer.train()
    assert called == [
        "setup",
        "batch_process",
        "pre_steps_log",
        "pre_optim_steps",
        "pre_epoch",
        "process_optim_batch",
        "post_optim",
        "post_optim_log",
        "post_epoch",
        "post_optim_complete_log",
        "post_steps",
        "post_steps_log",
        "shutdown",
    ]


def test_an_unknown_point_is_named(batches, square_loss):
    trainer = make_trainer(batches, square_loss)
    with pytest.raises(NotRegisteredError, match="Did you mean `post_steps`"):
        trainer.register_op("post_step", print)


def test_a_hook_can_stop_the_run(batches, square_loss, sgd):
    trainer = make_trainer(batches, square_loss, optimizer=sgd)
    trainer.register_op("post_steps", lambda: trainer.request_stop("enough"))
    trainer.train()
    assert trainer.collected_frames == 4
    assert trainer.stop_reason == "enough"


def test_none_steps_go_on_until_the_sampler_ends(batches, square_loss, sgd):
    trainer = make_trainer(batches[:1], square_loss, optimizer=sgd, optim_steps_per_batch=None)
    samples = iter(batches)
    trainer.register_op("process_optim_batch", lambda batch: next(samples, None))
    trainer.train()
    assert trainer.optim_count == 3


def test_none_steps_without_a_sampler(batches, square_loss, sgd):
    trainer = make_trainer(batches, square_loss, optimizer=sgd, optim_steps_per_batch=None)
    with pytest.raises(TrainingError, match="pass a number of steps"):
        trainer.train()


def test_nothing_that_trains(batches, square_loss):
    with pytest.raises(TrainingError, match="pass `optimizer=`"):
        make_trainer(batches, square_loss).train()


def test_a_stepper_takes_the_place_of_the_optimizer(batches, square_loss, net):
    class Set(OptimizationStepper):
        def step(self, trainer, sub_batch):
            net.weight.data.fill_(7.0)
            return trainer.loss_module(sub_batch).detach()

    make_trainer(batches, square_loss, optimization_stepper=Set()).train()
    assert net.weight.item() == 7.0


def test_optimizers_of_components(batches):
    one, two = (torch.ones(1, requires_grad=True) for _ in range(2))

    def loss(batch):
        return TensorDict({"loss_a": one.sum(), "loss_b": 2 * two.sum()})

    trainer = make_trainer(batches[:1], loss)
    OptimizerHook(torch.optim.SGD([one], lr=0.5), ["loss_a"]).register(trainer)
    OptimizerHook(torch.optim.SGD([two], lr=0.5), ["loss_b"]).register(trainer)
    trainer.train()
    assert (one.item(), two.item()) == (0.5, 0.0)
    assert (trainer.metrics["grad_norm_0"], trainer.metrics["grad_norm_1"]) == (1.0, 2.0)


@pytest.mark.parametrize(("clip_grad_norm", "expected"), [(True, [-0.6, -0.8]), (False, [-1, -1])])
def test_clipping(batches, clip_grad_norm, expected):
    weight = torch.zeros(2, requires_grad=True)
    trainer = make_trainer(
        batches[:1],
        lambda batch: TensorDict({"loss": weight @ torch.tensor([3.0, 4.0])}),
        optimizer=torch.optim.SGD([weight], lr=1.0),
        clip_grad_norm=clip_grad_norm,
        clip_norm=1.0,
    )
    trainer.train()
    torch.testing.assert_close(weight.detach(), torch.tensor(expected, dtype=torch.float32))


def test_mean_losses_are_logged(batches, square_loss, net, sgd):
    torch.nn.init.ones_(net.weight)
    trainer = make_trainer(batches[:1], square_loss, optimizer=sgd, optim_steps_per_batch=2)
    trainer.train()
    assert trainer.metrics["loss"] == (1.0 + 0.25) / 2
    assert trainer.metrics["optim_steps"] == 2


def test_the_collector_is_shut_down(toys, sgd):
    collector = toys.Bandit(toys.q_actor())
    trainer = make_trainer(collector, lambda batch: 1 / 0, optimizer=sgd)
    with pytest.raises(ZeroDivisionError):
        trainer.train()
    assert collector.is_shut_down


# ------------------------------------------------------------------------- targets


@pytest.fixture
def dqn(toys):
    return DQNLoss(toys.q_actor(), delay_value=True)


@pytest.mark.parametrize("fix", [r"SoftUpdate\(loss, tau=0.005\)", "HardUpdate"])
def test_targets_without_an_updater(batches, dqn, fix):
    with pytest.raises(RLError, match=fix):
        make_trainer(batches, dqn)


def test_an_updater_is_stepped(toys, dqn):
    loss = dqn
    updater = HardUpdate(loss, value_network_update_interval=10)
    trainer = make_trainer(
        toys.Bandit(toys.q_actor()),
        loss,
        optimizer=torch.optim.SGD(loss.parameters(), lr=0.1),
        target_net_updater=updater,
        total_frames=48,
    )
    trainer.train()
    assert updater.counter == 3


def test_an_updater_that_no_hook_steps(toys, dqn):
    loss = dqn
    updater = SoftUpdate(loss, tau=0.5)
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.1)
    trainer = make_trainer(toys.Bandit(toys.q_actor()), loss, optimizer=optimizer)
    with pytest.raises(TrainingError, match="that no hook moves: pass `target_net_updater="):
        trainer.train()
    TargetNetUpdaterHook(updater).register(trainer)
    trainer.train()


# -------------------------------------------------------------------------- resume


def make_run(toys, folder, total_frames):
    torch.manual_seed(3)
    actor = toys.q_actor()
    loss = DQNLoss(actor, delay_value=True)
    return Trainer(
        collector=toys.Bandit(actor, explore=0.5),
        total_frames=total_frames,
        optim_steps_per_batch=2,
        loss_module=loss,
        optimizer=torch.optim.Adam(loss.parameters(), lr=1e-2),
        target_net_updater=HardUpdate(loss, value_network_update_interval=3),
        save_trainer_file=folder,
        save_trainer_interval=16,
    )


def leaves(state, prefix=""):
    if isinstance(state, dict):
        for key, value in state.items():
            yield from leaves(value, f"{prefix}/{key}")
    elif isinstance(state, list | tuple):
        yield from leaves(dict(enumerate(state)), prefix)
    else:
        yield prefix, state


def assert_same(one, two):
    one, two = dict(leaves(one)), dict(leaves(two))
    assert one.keys() == two.keys()
    for key, value in one.items():
        same = torch.equal(value, two[key]) if torch.is_tensor(value) else value == two[key]
        assert same, key


def test_a_run_that_was_continued_is_the_uninterrupted_one(toys, tmp_path):
    whole = make_run(toys, tmp_path / "whole", 160)
    whole.train()
    make_run(toys, tmp_path / "half", 80).train()
    torch.manual_seed(99)  # what the process did in between
    again = make_run(toys, tmp_path / "half", 160).load_from_file(tmp_path / "half")
    assert again.collected_frames == 80
    again.train()
    assert again.collector.batches == 10
    state, expected = again.state_dict(), whole.state_dict()
    assert_same(state, expected)


def test_the_parts_must_be_those_that_were_saved(toys, tmp_path):
    make_run(toys, tmp_path / "run", 16).train()
    other = make_run(toys, tmp_path / "other", 16)
    other.register_module("more", torch.nn.Linear(1, 1))
    with pytest.raises(CheckpointError, match="register the same hooks"):
        other.load_from_file(tmp_path / "run")


def test_names_of_modules_are_unique(batches, square_loss):
    trainer = make_trainer(batches, square_loss)
    trainer.register_module("net", torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match="give this one another name"):
        trainer.register_module("net", torch.nn.Linear(1, 1))
