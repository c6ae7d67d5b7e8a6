import torch

from rl.objectives import GAE, ClipPPOLoss, DQNLoss, SoftUpdate
from rl.objectives.trainers import BatchSubSampler, LogScalar, Trainer, ValueEstimatorHook


def test_ppo_finds_the_arm_that_pays(toys):
    actor, critic = toys.actor(), toys.critic()
    loss = ClipPPOLoss(actor, critic)
    trainer = Trainer(
        collector=toys.Bandit(actor, size=64),
        total_frames=64 * 20,
        optim_steps_per_batch=4,
        loss_module=loss,
        optimizer=torch.optim.Adam(loss.parameters(), lr=3e-2),
    )
    rewards = []
    log = LogScalar(logname="reward")
    trainer.register_op("pre_steps_log", lambda batch: rewards.append(log(batch)["reward"]))
    ValueEstimatorHook(GAE(gamma=0.9, lmbda=0.9, value_network=critic)).register(trainer)
    BatchSubSampler(batch_size=32).register(trainer)
    trainer.train()
    assert rewards[0] < 0.7
    assert rewards[-1] > 0.9


def test_dqn_finds_the_arm_that_pays(toys):
    actor = toys.q_actor()
    loss = DQNLoss(actor, delay_value=True)
    trainer = Trainer(
        collector=toys.Bandit(actor, size=32, explore=0.5),
        total_frames=32 * 40,
        optim_steps_per_batch=2,
        loss_module=loss,
        optimizer=torch.optim.Adam(loss.parameters(), lr=1e-2),
        target_net_updater=SoftUpdate(loss, tau=0.1),
    )
    trainer.train()
    data = toys.Bandit(actor).play()
    assert data["action"][:, toys.BEST].all()
    torch.testing.assert_close(
        data["action_value"][0], torch.tensor([0.0, 0.0, 1.0]), atol=0.1, rtol=0
    )
