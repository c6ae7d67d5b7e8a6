import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import ShapeError, SpecError
from rl.data import (
    FlatStorageCheckpointer,
    LazyTensorStorage,
    ListStorage,
    PrioritizedSampler,
    RandomSampler,
    ReplayBuffer,
    ReplayBufferEnsemble,
    RoundRobinWriter,
    SamplerEnsemble,
    SamplerWithoutReplacement,
    StorageEnsemble,
    TensorDictReplayBuffer,
    WriterEnsemble,
)


def member(base, n=20, key="x", **kwargs):
    kwargs = {"storage": LazyTensorStorage(100), **kwargs}
    rb = TensorDictReplayBuffer(batch_size=4, **kwargs)
    rb.extend(TensorDict({key: torch.arange(n) + base}, [n]))
    return rb


def origins(x):
    return (x // 1000).tolist()


def test_each_member_gives_its_part():
    rb = ReplayBufferEnsemble(member(0), member(1000), sample_from_all=True, batch_size=8)
    batch, info = rb.sample(return_info=True)
    assert batch.shape == (2, 4)
    assert origins(batch["x"]) == [[0] * 4, [1] * 4]
    assert torch.equal(batch["index", "buffer_ids"], batch["x"] // 1000)
    assert torch.equal(batch["index", "index"], batch["x"] % 1000)
    assert info["index"].shape == (2, 4)


def test_members_are_drawn_with_their_weights():
    rb = ReplayBufferEnsemble(
        *(member(1000 * i) for i in range(3)),
        p=[1.0, 0.0, 3.0],
        num_buffer_sampled=1,
        generator=torch.Generator().manual_seed(0),
    )
    drawn = torch.tensor([origins(rb.sample(2)["x"])[0][0] for _ in range(600)])
    assert (drawn.bincount(minlength=3) / 600 - torch.tensor([0.25, 0, 0.75])).abs().max() < 0.06


def test_sampleable_members_weigh_by_their_rows():
    empty = TensorDictReplayBuffer(storage=LazyTensorStorage(9))
    rb = ReplayBufferEnsemble(member(0, 30), member(1000, 10), empty, p="sampleable", batch_size=3)
    assert rb.can_sample()
    drawn = torch.cat([rb.sample()["x"].flatten() // 1000 for _ in range(400)])
    share = drawn.bincount(minlength=3) / len(drawn)
    assert (share - torch.tensor([0.75, 0.25, 0.0])).abs().max() < 0.05


def test_members_transforms_and_collates_come_before_those_of_the_ensemble():
    second = ReplayBuffer(storage=ListStorage(9), transform=lambda td: td.set("y", td["x"] + 1))
    second.extend([TensorDict({"x": torch.tensor(5.0)})])
    first = ReplayBuffer(storage=LazyTensorStorage(9))
    first.append_transform(lambda td: td.rename_key_("z", "x").set("y", td["x"]))
    first.extend(TensorDict({"z": torch.ones(2)}, [2]))
    rb = ReplayBufferEnsemble(
        first, second, sample_from_all=True, transform=lambda td: td.set("w", -td["y"])
    )
    assert rb.sample(4)["w"].tolist() == [[-1.0, -1.0], [-6.0, -6.0]]
    first.append_transform(lambda td: td.set("y", td["y"] * 10))  # after the ensemble was made
    assert rb.sample(4)["w"].tolist() == [[-10.0, -10.0], [-6.0, -6.0]]


def test_nesting():
    def pair(base):
        return ReplayBufferEnsemble(member(base), member(base + 1000), sample_from_all=True)

    rb = ReplayBufferEnsemble(pair(0), pair(2000), sample_from_all=True, batch_size=8)
    batch = rb.sample()
    assert origins(batch["x"]) == [[[0, 0], [1, 1]], [[2, 2], [3, 3]]]


def test_priorities_go_to_the_members():
    members = [member(1000 * i, 4, sampler=PrioritizedSampler(100, 1.0, 1.0)) for i in range(2)]
    rb = ReplayBufferEnsemble(*members, sample_from_all=True, batch_size=64)
    batch = rb.sample()
    assert batch["priority_weight"].shape == (2, 32)
    rb.update_priority(batch["index"], (batch["x"] == 1002) * 1.0)
    assert set(members[1].sample(50)["x"].tolist()) == {1002}
    before = [m.sampler.state_dict()["leaves"].clone() for m in members]
    bad = torch.ones(2, 32)
    bad[1, 3] = float("nan")
    with pytest.raises(SpecError, match="NaN"):
        rb.update_priority(batch["index"], bad)
    with pytest.raises(ShapeError, match="one priority per element"):
        rb.update_priority(batch["index"], torch.ones(2, 31))
    for leaves, m in zip(before, members, strict=True):
        assert torch.equal(leaves, m.sampler.state_dict()["leaves"]), "a refusal left a trace"


def test_a_member_without_priorities_has_weight_one():
    rb = ReplayBufferEnsemble(
        member(0), member(1000, sampler=PrioritizedSampler(100, 1.0, 1.0)), sample_from_all=True
    )
    assert rb.sample(8)["priority_weight"][0].tolist() == [1.0] * 4


def test_parts_that_differ_in_length_stay_apart():
    rb = ReplayBufferEnsemble(
        member(0, 5, sampler=SamplerWithoutReplacement()), member(1000), sample_from_all=True
    )
    assert rb.sample(8).shape == (2, 4)
    assert [len(part) for part in rb.sample(8)] == [1, 4]


def test_indexing_is_that_of_the_reference():
    rb = ReplayBufferEnsemble(member(0), member(1000), member(2000), batch_size=6)
    assert len(rb) == 3
    assert len(rb[1]) == 20
    assert len(rb[:2]) == 2
    assert rb[:, 0]["x"].tolist() == [0, 1000, 2000]
    assert rb[1, 3]["x"] == 1003
    assert rb[:, :3]["x"].shape == (3, 3)
    assert rb.stats()["size"] == 60


def make(generator=None):
    return ReplayBufferEnsemble(
        member(0, sampler=SamplerWithoutReplacement()),
        member(1000, storage=LazyTensorStorage(100)),
        batch_size=8,
        generator=generator,
    )


@pytest.mark.parametrize("files", [True, False])
def test_it_goes_on_where_it_was_saved(tmp_path, files):
    rb, other = make(torch.Generator().manual_seed(1)), make(torch.Generator())
    rb[1].extend(TensorDict({"x": torch.arange(7) + 1500}, [7]))
    rb.sample()
    if files:
        rb.dumps(tmp_path)
        other.loads(tmp_path)
    else:
        other.load_state_dict(rb.state_dict())
    for _ in range(5):
        assert torch.equal(rb.sample()["x"], other.sample()["x"])


def test_members_that_save_otherwise(tmp_path):
    def build():
        rb = TensorDictReplayBuffer(
            storage=LazyTensorStorage(9, checkpointer=FlatStorageCheckpointer())
        )
        return ReplayBufferEnsemble(rb, batch_size=2)

    rb, other = build(), build()
    x = torch.arange(4)
    rb[0].extend(TensorDict({"x": x[:-1], "next": {"x": x[1:]}}, [3]))
    rb.dumps(tmp_path)
    other.loads(tmp_path)
    assert other[0][:]["next", "x"].tolist() == [1, 2, 3]


def test_built_from_its_parts():
    storages = [LazyTensorStorage(9), LazyTensorStorage(9)]
    rb = ReplayBufferEnsemble(
        storages=StorageEnsemble(*storages, transforms=[None, lambda td: td.set("x", -td["x"])]),
        samplers=SamplerEnsemble(RandomSampler(), RandomSampler(), sample_from_all=True),
        writers=WriterEnsemble(RoundRobinWriter(), RoundRobinWriter()),
        batch_size=4,
    )
    for i in range(2):
        rb[i].extend(TensorDict({"x": torch.ones(3)}, [3]))
    assert rb.sample()["x"].tolist() == [[1, 1], [-1, -1]]


def test_a_draw_that_fails_uses_nothing_up():
    rb = ReplayBufferEnsemble(
        member(0, 4, sampler=SamplerWithoutReplacement()),
        TensorDictReplayBuffer(storage=LazyTensorStorage(4)),
        sample_from_all=True,
        batch_size=4,
    )
    assert not rb.can_sample()
    for _ in range(3):
        with pytest.raises(RuntimeError, match="empty"):
            rb.sample()
    rb[1].extend(TensorDict({"x": torch.arange(3)}, [3]))
    seen = torch.cat([rb.sample()["x"][0] for _ in range(2)])
    assert sorted(seen.tolist()) == [0, 1, 2, 3]


def test_bad_input():
    rb = ReplayBufferEnsemble(member(0), member(1000, key="y"), sample_from_all=True, batch_size=4)
    with pytest.raises(SpecError, match="rows of some members only"):
        rb.sample()
    with pytest.raises(ValueError, match="no multiple of the 2 members"):
        rb.sample(7)
    with pytest.raises(RuntimeError, match=r"ensemble\[i\]"):
        rb.extend(TensorDict({"x": torch.zeros(2)}, [2]))
    with pytest.raises(ValueError, match="not both"):
        ReplayBufferEnsemble(member(0), p=[1.0], sample_from_all=True)
    for p in ([1.0], [1.0, -1.0], [0.0, 0.0], [1.0, float("nan")], "most"):
        with pytest.raises(ValueError, match="`p` is"):
            ReplayBufferEnsemble(member(0), member(1), p=p)
    with pytest.raises(TypeError, match="Pass buffers"):
        ReplayBufferEnsemble()
    with pytest.raises(SpecError, match="Pass the `index` entry"):
        rb.update_priority(torch.arange(2), torch.ones(2))
