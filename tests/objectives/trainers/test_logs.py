import pytest
import torch
from tensordict import TensorDict

from rl.core import MissingKeyError, exploration_type, timeit
from rl.core.loggers import Logger
from rl.objectives.trainers import (
    CountFramesLog,
    LogScalar,
    LogTiming,
    LogValidationReward,
    Trainer,
)


@pytest.fixture
def batch():
    mask = torch.tensor([True, True, False])
    reward = torch.tensor([[1.0], [3.0], [99.0]])
    return TensorDict({"next": {"reward": reward}, ("collector", "mask"): mask}, [3])


@pytest.mark.parametrize(
    ("reduction", "value"), [("mean", 2.0), ("sum", 4.0), ("min", 1.0), ("max", 3.0)]
)
def test_log_scalar_reduces_valid_steps(batch, reduction, value):
    out = LogScalar(logname="r", log_pbar=True, reduction=reduction)(batch)
    assert out["r"] == value
    assert out["r_std"] == pytest.approx(2**0.5)
    assert out["log_pbar"] is True


def test_log_scalar_mistakes(batch):
    with pytest.raises(MissingKeyError, match="name another entry"):
        LogScalar("nothing")(batch)
    with pytest.raises(ValueError, match="mean, sum, min, max"):
        LogScalar(reduction="median")


def test_count_frames(batch):
    count = CountFramesLog(frame_skip=4)
    assert count(batch)["n_frames"] == 8
    again = CountFramesLog(frame_skip=4)
    again.load_state_dict(count.state_dict())
    assert again(batch)["n_frames"] == 16


def test_log_validation_reward():
    class Env:
        def rollout(self, max_steps, policy, break_when_any_done):
            self.seen = exploration_type(), policy, break_when_any_done
            reward = torch.arange(max_steps, dtype=torch.float32).unsqueeze(-1)
            return TensorDict({"next": {"reward": reward}}, [max_steps])

    env = Env()
    hook = LogValidationReward(
        record_interval=2,
        record_frames=3,
        frame_skip=2,
        policy_exploration="policy",
        environment=env,
    )
    out = hook(None)
    assert (out["r_evaluation"], out["total_r_evaluation"]) == (0.5, 1.5)
    assert env.seen[0].name == "DETERMINISTIC"
    assert env.seen[1:] == ("policy", False)
    assert hook(None) is None
    assert hook(None) is not None


def test_log_timing():
    timeit.erase()
    with timeit("learn"):
        pass
    assert list(LogTiming(erase=True)(None)) == ["time/learn"]
    assert timeit.todict() == {}


def test_metrics_reach_the_logger_at_intervals(batches, square_loss, net):
    class Memory(Logger):
        def _write_scalar(self, name, value, step):
            rows.append((name, value, step))

        def log_video(self, name, video, step=None, **kwargs): ...
        def log_hparams(self, cfg): ...
        def log_histogram(self, name, data, step=None, **kwargs): ...

    rows = []
    trainer = Trainer(
        collector=batches,
        total_frames=12,
        optim_steps_per_batch=1,
        loss_module=square_loss,
        optimizer=torch.optim.SGD(net.parameters(), lr=0.1),
        logger=Memory("run", "nowhere"),
        log_interval=8,
        auto_log_optim_steps=False,
    )
    CountFramesLog().register(trainer)
    trainer.train()
    assert rows == [("n_frames", 4.0, 4), ("n_frames", 12.0, 12)]
