import copy

import pytest
import torch

from rl.core.checkpoint import Checkpoint, CheckpointRotation, load_state, save_state
from rl.core.errors import CheckpointError


class Counter:
    """A component that refuses negative counts."""

    def __init__(self, count):
        self.count = count

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state_dict):
        self.count = state_dict["count"]
        if self.count < 0:
            raise ValueError("a count is not negative.")


def trained(seed):
    torch.manual_seed(seed)
    model = torch.nn.Linear(2, 1)
    optim = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optim.step()
    return model, optim


def test_components_come_back_bit_for_bit(tmp_path):
    model, optim = trained(0)
    Checkpoint(model=model, optim=optim, counter=Counter(3)).save(tmp_path)
    other, other_optim = trained(1)
    counter = Counter(0)
    Checkpoint(model=other, optim=other_optim, counter=counter).load(tmp_path)
    assert counter.count == 3
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
        for name, value in optim.state[one].items():
            assert torch.equal(value, other_optim.state[two][name])


def test_a_refusal_leaves_every_component_as_it_was(tmp_path):
    model, _ = trained(0)
    Checkpoint(model=model, counter=Counter(-1)).save(tmp_path)
    other, _ = trained(1)
    before = copy.deepcopy(other.state_dict())
    counter = Counter(5)
    with pytest.raises(CheckpointError, match="`counter` refuses its saved state, nothing was"):
        Checkpoint(model=other, counter=counter).load(tmp_path)
    assert counter.count == 5
    for name, value in other.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_another_shape_is_refused_with_the_component(tmp_path):
    Checkpoint(model=torch.nn.Linear(2, 1)).save(tmp_path)
    with pytest.raises(CheckpointError, match="`model` refuses"):
        Checkpoint(model=torch.nn.Linear(3, 1)).load(tmp_path)


def test_missing_component_suggests_the_nearest(tmp_path):
    Checkpoint(policy=Counter(1)).save(tmp_path)
    with pytest.raises(CheckpointError, match="Did you mean `policy`"):
        Checkpoint(polcy=Counter(0)).load(tmp_path)


def test_extra_component_says_how_to_load_the_rest(tmp_path):
    Checkpoint(a=Counter(1), b=Counter(2)).save(tmp_path)
    a = Counter(0)
    with pytest.raises(CheckpointError, match=r"`b`, which no component here reads.*components="):
        Checkpoint(a=a).load(tmp_path)
    assert a.count == 0
    Checkpoint(a=a).load(tmp_path, components=["a"])
    assert a.count == 1


def test_partial_load_leaves_the_others(tmp_path):
    Checkpoint(a=Counter(1), b=Counter(2)).save(tmp_path)
    a, b = Counter(0), Counter(0)
    Checkpoint(a=a, b=b).load(tmp_path, components=["b"])
    assert (a.count, b.count) == (0, 2)
    with pytest.raises(CheckpointError, match="is not a component here"):
        Checkpoint(a=a, b=b).load(tmp_path, components=["c"])


def test_objects_without_state_dict_are_refused():
    with pytest.raises(CheckpointError, match="`value` is a dict"):
        Checkpoint(value={})


def test_a_state_that_is_no_checkpoint_says_so(tmp_path):
    save_state(tmp_path, [1, 2])
    with pytest.raises(CheckpointError, match="Read it with `load_state`"):
        Checkpoint(a=Counter(0)).load(tmp_path)


def test_checkpoints_nest(tmp_path):
    Checkpoint(inner=Checkpoint(a=Counter(7))).save(tmp_path)
    assert load_state(tmp_path) == {"inner": {"a": {"count": 7}}}


def test_rotation_keeps_the_newest_in_numeric_order(tmp_path):
    rotation = CheckpointRotation(tmp_path, keep_last=2)
    assert rotation.latest() is None
    counter = Counter(0)
    for step in (2, 9, 10):
        counter.count = step
        rotation.save(Checkpoint(counter=counter), step=step)
    assert [path.name for path in rotation.checkpoints()] == ["checkpoint-9", "checkpoint-10"]
    counter.count = 0
    assert rotation.load_latest(Checkpoint(counter=counter)) == tmp_path / "checkpoint-10"
    assert counter.count == 10


def test_rotation_leaves_other_folders(tmp_path):
    for name in ("checkpoint-best", "checkpoint-1.old", "logs"):
        (tmp_path / name).mkdir()
    rotation = CheckpointRotation(tmp_path, keep_last=1)
    for step in range(3):
        rotation.save(Checkpoint(counter=Counter(step)), step=step)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-1.old",
        "checkpoint-2",
        "checkpoint-best",
        "logs",
    ]


def test_rotation_refuses_to_keep_nothing(tmp_path):
    with pytest.raises(CheckpointError, match="expected at least 1"):
        CheckpointRotation(tmp_path, keep_last=0)


def test_rotation_without_checkpoints_says_so(tmp_path):
    with pytest.raises(CheckpointError, match="holds no `checkpoint-<step>` folder yet"):
        CheckpointRotation(tmp_path, keep_last=1).load_latest(Checkpoint())
