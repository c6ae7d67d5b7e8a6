import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.data import LazyTensorStorage, SliceSamplerWithoutReplacement, TensorDictReplayBuffer


def rows(lengths):
    ids = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    return TensorDict({"x": torch.arange(len(ids)), "episode": ids}, [len(ids)])


def buffer(lengths, batch_size, capacity=100, **kwargs):
    rb = TensorDictReplayBuffer(
        storage=LazyTensorStorage(capacity),
        sampler=SliceSamplerWithoutReplacement(**kwargs),
        batch_size=batch_size,
        generator=torch.Generator().manual_seed(0),
    )
    rb.extend(rows(lengths))
    return rb


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=12),
    count=st.integers(1, 5),
    length=st.integers(1, 4),
    strict=st.booleans(),
    shuffle=st.booleans(),
)
def test_a_pass_has_each_trajectory_once(lengths, count, length, strict, shuffle):
    rb = buffer(lengths, count * length, slice_len=length, strict_length=strict, shuffle=shuffle)
    wanted = [i for i, n in enumerate(lengths) if n >= length or not strict]
    if not wanted:
        return
    for _ in range(2):
        dealt = []
        for batch in rb:
            assert len(batch["episode"].unique()) <= count
            ends = batch["next", "truncated"].squeeze(-1)
            dealt += batch["episode"][ends].tolist()
            for number in batch["episode"].unique():
                x = batch["x"][batch["episode"] == number]
                assert len(x) == min(length, lengths[number])
                assert (x.diff() == 1).all()
        assert sorted(dealt) == wanted
        assert shuffle or dealt == wanted


def test_drop_last():
    rb = buffer([3] * 5, 4, slice_len=2, drop_last=True)
    assert [len(batch) for batch in rb] == [4, 4]
    rb = buffer([3] * 2, 6, slice_len=2, drop_last=True)
    with pytest.raises(ValueError, match="pass `drop_last=False`"):
        rb.sample()


def test_starts_differ_between_passes():
    rb = buffer([50], 2, slice_len=2)
    assert len({int(rb.sample()["x"][0]) for _ in range(30)}) > 5


def test_writing_starts_a_new_pass():
    rb = buffer([2, 2, 2], 2, slice_len=2, shuffle=False)
    rb.sample()
    rb.extend(rows([2]).set("episode", torch.tensor([7, 7])))
    assert [batch["episode"][0].item() for batch in rb] == [0, 1, 2, 7]
    assert rb.sampler.ran_out


def test_another_length_starts_a_new_pass():
    rb = buffer([2, 4, 4], 4, num_slices=2, shuffle=False)
    assert rb.sample()["episode"].unique().tolist() == [0, 1]
    assert rb.sample(8)["episode"].unique().tolist() == [1, 2]


def test_rows_changed_in_place_start_a_new_pass():
    rb = buffer([2, 2], 2, slice_len=2, shuffle=False)
    rb.sample()
    rb.mark_update(torch.tensor([0]))
    assert rb.sample()["episode"].tolist() == [0, 0]


def test_emptying_ends_the_pass():
    rb = buffer([2, 2], 2, slice_len=2)
    rb.sample()
    rb.empty()
    rb.extend(rows([3]))
    assert [len(batch) for batch in rb] == [2]
