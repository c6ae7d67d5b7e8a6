import mmap
import os

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.core import Composite, NonTensor, Unbounded
from rl.envs.vector.shared_buffers import Buffers, Layout, anonymous_file

DTYPES = [torch.bool, torch.uint8, torch.int64, torch.float16, torch.float32, torch.float64]


def sections():
    agents = Composite(position=Unbounded((2, 3)), shape=(2,))
    return {
        "inputs": Composite(action=Unbounded((2,), dtype=torch.int64)),
        "next": Composite(reward=Unbounded((1,)), agents=agents),
        "first": Composite(observation=Unbounded((), dtype=torch.uint8)),
    }


def test_slots_are_views_of_their_row():
    buffers = Buffers(Layout(sections(), 3))
    step, reset = buffers.slots(1)
    step.root_rows["action"][:] = [4, 5]
    assert step.root["action"].tolist() == [4, 5]
    step.next["agents", "position"].fill_(2.0)
    position = buffers.arrays["next"]["agents", "position"]
    assert position[:, 0, 0].tolist() == [0, 2, 0]
    reset.root_rows["observation"][...] = 9  # a scalar row is written, not replaced
    assert buffers.arrays["first"]["observation",].tolist() == [0, 9, 0]
    assert step.next["agents"].batch_size == torch.Size([2])


def test_two_mappings_of_one_file():
    layout = Layout(sections(), 2)
    descriptor = anonymous_file()
    os.ftruncate(descriptor, layout.num_bytes)
    one, other = (Buffers(layout, mmap.mmap(descriptor, layout.num_bytes)) for _ in range(2))
    os.close(descriptor)
    one.arrays["next"]["reward",][1] = 7
    one.mask[0] = True
    assert other.arrays["next"]["reward",].flatten().tolist() == [0, 7]
    assert other.mask.tolist() == [True, False]


@given(
    st.lists(
        st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 4), max_size=3)), max_size=5
    ),
    st.integers(1, 4),
)
@settings(max_examples=50, deadline=None)
def test_leaves_do_not_overlap(leaves, num_rows):
    spec = Composite({f"x{i}": Unbounded(tuple(s), dtype=d) for i, (d, s) in enumerate(leaves)})
    empty = Composite()
    buffers = Buffers(Layout({"inputs": spec, "next": spec.clone(), "first": empty}, num_rows))
    arrays = [a for section in buffers.arrays.values() for a in section.values()]
    for number, array in enumerate(arrays):
        array[...] = number % 2
    for number, array in enumerate(arrays):
        assert (array == number % 2).all()
    assert not buffers.mask.any()
    for (dtype, shape), array in zip(leaves, arrays, strict=False):
        assert array.shape == (num_rows, *shape)
        assert torch.from_numpy(np.array(array)).dtype == dtype


def test_what_fits():
    assert Layout.fits(list(sections().values()))
    assert not Layout.fits([Composite(text=NonTensor())])
    assert not Layout.fits([Composite(x=Unbounded((-1, 2)))])
    assert not Layout.fits([Composite(x=Unbounded((2,), dtype=torch.bfloat16))])
