import pytest
import torch
from tensordict import TensorDict

from rl.objectives.trainers import ReplayBufferTrainer


class Buffer:
    """Keeps rows in a list, and iterates over them in pairs."""

    def __init__(self):
        self.rows, self.priorities = [], []

    def extend(self, batch):
        self.rows += list(batch.unbind(0))

    def sample(self, batch_size=1):
        return torch.stack(self.rows[:batch_size])

    def __iter__(self):
        for start in range(0, len(self.rows), 2):
            yield torch.stack(self.rows[start : start + 2])

    def update_tensordict_priority(self, batch):
        self.priorities.append(batch["td_error"])

    def state_dict(self):
        return {"rows": self.rows}

    def load_state_dict(self, state_dict):
        self.rows = list(state_dict["rows"])


@pytest.fixture
def batch():
    return TensorDict({"x": torch.arange(6).view(2, 3)}, [2, 3])


def test_rows_are_stored_as_they_are(batch):
    hook = ReplayBufferTrainer(Buffer(), batch_size=2)
    assert hook.extend(batch) is batch
    assert hook.sample(None).shape == (2, 3)


def test_steps_without_padding(batch):
    batch["collector", "mask"] = torch.tensor([[True, True, False], [True, False, False]])
    hook = ReplayBufferTrainer(Buffer(), batch_size=3, flatten_tensordicts=True)
    hook.extend(batch)
    assert hook.sample(None)["x"].tolist() == [0, 1, 3]


def test_a_pass_over_the_buffer_ends(batch):
    hook = ReplayBufferTrainer(Buffer(), flatten_tensordicts=True, iterate=True)
    hook.extend(batch)
    for _ in range(2):
        assert [hook.sample(None)["x"].tolist() for _ in range(3)] == [[0, 1], [2, 3], [4, 5]]
        assert hook.sample(None) is None


def test_priorities_are_handed_on_where_there_are_some(batch):
    hook = ReplayBufferTrainer(Buffer())
    hook.update_priority(batch)
    hook.update_priority(batch.set("td_error", torch.ones(2, 3)))
    assert len(hook.replay_buffer.priorities) == 1


def test_the_buffer_is_saved(batch):
    hook, again = ReplayBufferTrainer(Buffer()), ReplayBufferTrainer(Buffer())
    hook.extend(batch)
    again.load_state_dict(hook.state_dict())
    assert len(again.replay_buffer.rows) == 2
