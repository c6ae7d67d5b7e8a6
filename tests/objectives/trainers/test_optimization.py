import pytest
import torch
from tensordict import TensorDict

from rl.core import MissingKeyError
from rl.objectives.trainers import (
    DefaultOptimizationStepper,
    LRSchedulerHook,
    OptimizerHook,
    Trainer,
)


def test_only_the_components_are_minimised():
    weight = torch.ones(1, requires_grad=True)
    hook = OptimizerHook(torch.optim.SGD([weight], lr=1.0), ["loss_a"])
    losses = TensorDict({"loss_a": weight.sum(), "loss_b": 100 * weight.sum()})
    out = hook(losses, True, None, 3)
    assert weight.item() == 0.0
    assert out["grad_norm_3"] == 1.0
    assert not out["loss_b"].requires_grad


def test_a_component_that_is_not_there():
    weight = torch.ones(1, requires_grad=True)
    hook = OptimizerHook(torch.optim.SGD([weight], lr=1.0), ["loss_actr"])
    with pytest.raises(MissingKeyError, match="Did you mean `loss_actor`"):
        hook(TensorDict({"loss_actor": weight.sum()}), True, None, 0)


def test_the_stepper_keeps_components(batches):
    weight = torch.ones(1, requires_grad=True)

    def loss(batch):
        return TensorDict({"loss_a": weight.sum(), "loss_b": 100 * weight.sum()})

    Trainer(
        collector=batches[:1],
        total_frames=4,
        optim_steps_per_batch=1,
        loss_module=loss,
        optimizer=torch.optim.SGD([weight], lr=1.0),
        optimization_stepper=DefaultOptimizationStepper(["loss_a"]),
    ).train()
    assert weight.item() == 0.0


@pytest.mark.parametrize(("interval", "rate"), [("batch", 0.5**3), ("optim", 0.5**6)])
def test_the_rate_follows_its_schedule(batches, square_loss, net, interval, rate):
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    trainer = Trainer(
        collector=batches,
        total_frames=12,
        optim_steps_per_batch=2,
        loss_module=square_loss,
        optimizer=optimizer,
    )
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    LRSchedulerHook(scheduler, interval).register(trainer)
    trainer.train()
    assert optimizer.param_groups[0]["lr"] == rate


def test_an_unknown_interval():
    with pytest.raises(ValueError, match='"batch" or "optim"'):
        LRSchedulerHook(None, "step")
