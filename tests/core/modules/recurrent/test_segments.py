import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from rl.core.modules.recurrent.segments import cut, pack, pieces


def by_loop(starts):
    """The segments of each row, by a loop: lists of places in the flattened batch."""
    found = []
    for row, flags in enumerate(starts.tolist()):
        for step, flag in enumerate(flags):
            if flag or step == 0:
                found.append([])
            found[-1].append(row * len(flags) + step)
    return found


patterns = st.integers(1, 4).flatmap(
    lambda rows: st.integers(1, 7).flatmap(
        lambda steps: st.lists(
            st.lists(st.booleans(), min_size=steps, max_size=steps), min_size=rows, max_size=rows
        )
    )
)


@given(patterns)
def test_cut_against_a_loop(pattern):
    starts = torch.tensor(pattern)
    segments, expected = cut(starts), by_loop(starts)
    assert segments.first.tolist() == [segment[0] for segment in expected]
    assert segments.lengths.tolist() == [len(segment) for segment in expected]
    assert segments.last.tolist() == [segment[-1] for segment in expected]


@given(patterns)
def test_pieces_make_up_the_segments(pattern):
    starts = torch.tensor(pattern)
    found = [[] for _ in by_loop(starts)]
    sizes = []
    for rows, steps in pieces(cut(starts)):
        sizes.append(len(steps))
        for row, places in zip(rows.tolist(), steps.T.tolist(), strict=True):
            found[row] += places
    assert found == by_loop(starts)
    longest = max(map(len, found))
    assert sum(sizes) == longest
    assert len(sizes) == longest.bit_length()


@given(patterns)
def test_packing_against_a_loop(pattern):
    starts = torch.tensor(pattern)
    packing, expected = pack(cut(starts)), by_loop(starts)
    assert [expected[i] for i in packing.order] == sorted(expected, key=len, reverse=True)
    expected.sort(key=len, reverse=True)
    by_step = [
        [segment[step] for segment in expected if len(segment) > step]
        for step in range(len(expected[0]))
    ]
    assert packing.running.tolist() == [len(rows) for rows in by_step]
    assert packing.source.tolist() == [place for rows in by_step for place in rows]
    x = torch.randn(starts.numel(), 2)
    assert torch.equal(packing.unpack(packing.pack(x).data), x)


def test_the_framework_takes_a_packing():
    net = nn.GRU(2, 3)
    starts = torch.tensor([[False, True, False, False], [False, False, False, True]])
    segments = cut(starts)
    packing = pack(segments)
    x = torch.randn(8, 2)
    out, last = net(packing.pack(x))
    assert isinstance(out, PackedSequence)
    rows = packing.unpack(out.data)
    torch.testing.assert_close(last[0], rows[segments.last[packing.order]])
    for places in by_loop(starts):
        torch.testing.assert_close(rows[places], net(x[places])[0])
