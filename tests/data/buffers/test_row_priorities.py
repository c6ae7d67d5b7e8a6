import torch
from tensordict import TensorDict

from rl.data import LazyTensorStorage, TensorDictPrioritizedReplayBuffer
from rl.data.buffers.row_priorities import row_priorities


def test_flat_batches_stay():
    index, priority = torch.arange(3), torch.rand(3, 2)
    found = row_priorities(TensorDict(batch_size=[3]), index, priority)
    assert found[0] is index
    assert found[1] is priority


def test_the_largest_of_the_valid_rows_of_a_window():
    data = TensorDict(
        {
            "anchor_index": torch.tensor([7, 7, 7, 2, 2, 2]),
            "sequence_id": torch.tensor([0, 0, 0, 1, 1, 1]),
            "validity_mask": torch.tensor([True, True, False, False, True, True]),
        },
        [6],
    )
    priority = torch.tensor([1.0, 3.0, 9.0, 9.0, 2.0, 0.5])
    for shape in ([6], [2, 3]):
        batch = data.reshape(shape)
        index, best = row_priorities(batch, torch.zeros(shape), priority.reshape(shape))
        assert index.tolist() == [7, 2]
        assert best.tolist() == [3.0, 2.0]


def test_a_batch_with_a_time_dimension():
    rb = TensorDictPrioritizedReplayBuffer(
        alpha=1.0, beta=1.0, eps=0.0, storage=LazyTensorStorage(12, ndim=2), batch_size=6
    )
    rb.extend(TensorDict({"x": torch.zeros(2, 6)}, [2, 6]))
    batch = rb.sample().reshape(2, 3)
    batch["td_error"] = torch.full((2, 3, 1), 4.0)
    rb.update_tensordict_priority(batch)
    touched = rb.storage.ravel(batch["index"]).unique()
    assert torch.equal((rb.sampler.state_dict()["leaves"] == 4.0).nonzero()[:, 0], touched)
