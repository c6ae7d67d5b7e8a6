import pytest
import torch
from tensordict import TensorDict

from rl.data import (
    DeviceSumTree,
    LazyMemmapStorage,
    LazyTensorStorage,
    PrioritizedReplayBuffer,
    TensorDictPrioritizedReplayBuffer,
)


def test_items_of_any_kind():
    rb = PrioritizedReplayBuffer(alpha=1.0, beta=1.0, batch_size=8)
    rb.extend(["rare", "often"])
    rb.update_priority(torch.tensor([0, 1]), torch.tensor([0.0, 1.0]))
    data, info = rb.sample(return_info=True)
    assert data == ["often"] * 8
    assert info["priority_weight"].shape == (8,)
    assert rb.storage.max_size == rb.sampler.max_size == 1000


def test_arguments_reach_the_sampler():
    rb = TensorDictPrioritizedReplayBuffer(
        alpha=0.7,
        beta=0.5,
        eps=0.1,
        priority_key="p",
        reduction="mean",
        storage=lambda: LazyTensorStorage(20),
        batch_size=3,
    )
    sampler = rb.sampler
    assert (sampler.alpha, sampler.beta, sampler.eps) == (0.7, 0.5, 0.1)
    assert (sampler.reduction, sampler.max_size, rb.priority_key) == ("mean", 20, "p")
    assert PrioritizedReplayBuffer(alpha=1, beta=1, dtype=torch.float64).sampler.max_size == 1000


def test_the_example_of_torchrl_runs(tmp_path):
    device = torch.device("cpu")
    storage = LazyMemmapStorage(1000, scratch_dir=tmp_path)
    buffer = TensorDictPrioritizedReplayBuffer(
        alpha=0.7,
        beta=0.5,
        collate_fn=lambda x: x,
        pin_memory=device != torch.device("cpu"),
        prefetch=10,
        storage=storage,
    )
    buffer.extend(TensorDict({"obs": torch.randn(200, 3)}, [200]))
    for _ in range(5):
        batch = buffer.sample(32)
        batch["td_error"] = batch["obs"].abs().sum(-1)
        buffer.update_tensordict_priority(batch)
    assert batch.batch_size == (32,)
    assert batch["priority_weight"].max() <= 1.0
    buffer.shutdown()


def test_rows_with_large_errors_come_more_often():
    rb = TensorDictPrioritizedReplayBuffer(
        alpha=1.0, beta=1.0, storage=LazyTensorStorage(3), batch_size=9000
    )
    rb.extend(TensorDict({"x": torch.arange(3), "td_error": torch.tensor([1.0, 2.0, 6.0])}, [3]))
    counts = torch.bincount(rb.sample()["x"], minlength=3)
    # 1/9, 2/9, 6/9 of the draws; standard deviations 30, 39, 45
    assert (counts - torch.tensor([1000, 2000, 6000])).abs().max() < 225


@pytest.mark.parametrize("key", ["alpha", "beta"])
@pytest.mark.parametrize("cls", [PrioritizedReplayBuffer, TensorDictPrioritizedReplayBuffer])
def test_the_exponents_are_required(cls, key):
    arguments = {"alpha": 1.0, "beta": 1.0}
    del arguments[key]
    with pytest.raises(TypeError, match=key):
        cls(**arguments)


def test_the_device_of_the_tree():
    made = [
        PrioritizedReplayBuffer(alpha=0.6, beta=0.4, sampler_device=device)
        for device in (None, "cpu", "meta")
    ]
    kinds = [isinstance(rb.sampler._sum_tree, DeviceSumTree) for rb in made]
    assert kinds == [False, False, True]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_all_on_cuda():
    rb = TensorDictPrioritizedReplayBuffer(
        alpha=1.0,
        beta=0.5,
        storage=LazyTensorStorage(10, device="cuda"),
        sampler_device="cuda",
        batch_size=64,
    )
    rb.extend(TensorDict({"x": torch.arange(10)}, [10]))
    batch = rb.sample()
    batch["td_error"] = (batch["x"] == 7).float() * 1e6
    rb.update_tensordict_priority(batch)
    again = rb.sample()
    assert again["x"].eq(7).float().mean() > 0.9
    assert {again[key].device.type for key in ("x", "index", "priority_weight")} == {"cuda"}
