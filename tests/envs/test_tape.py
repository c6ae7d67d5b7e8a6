"""The tape gives back what was appended, however long it gets."""

from __future__ import annotations

import pytest
import torch
from tensordict import LazyStackedTensorDict, TensorDict

from rl.core import RLError
from rl.envs.tape import CHUNK, ROOM, Tape


def transition(step: int, shape: tuple[int, ...] = ()) -> tuple[TensorDict, TensorDict]:
    value = torch.full((*shape, 1), float(step))
    root = TensorDict({"x": value, "group": {"y": value + 0.5}}, batch_size=shape)
    return root, TensorDict({"x": value + 1}, batch_size=shape)


@pytest.mark.parametrize("steps", [1, CHUNK, CHUNK + 1, ROOM, ROOM + 3, 2 * ROOM + 1])
@pytest.mark.parametrize("shape", [(), (2,)])
def test_every_step_is_kept_in_order(steps, shape):
    tape = Tape(10_000)
    for step in range(steps):
        tape.append(*transition(step, shape))
    assert len(tape) == steps
    batch = tape.stack()
    expected = torch.arange(float(steps)).expand(*shape, steps).unsqueeze(-1)
    assert batch.shape == torch.Size([*shape, steps])
    assert torch.equal(batch["x"], expected)
    assert torch.equal(batch["group", "y"], expected + 0.5)
    assert torch.equal(batch["next", "x"], expected + 1)
    assert batch.names[-1] == "time"


def test_the_order_of_keys_does_not_matter():
    tape = Tape(2)
    tape.append(TensorDict({"a": torch.tensor(1), "b": torch.tensor(2)}), TensorDict({"c": 0}))
    tape.append(TensorDict({"b": torch.tensor(4), "a": torch.tensor(3)}), TensorDict({"c": 0}))
    batch = tape.stack()
    assert batch["a"].tolist() == [1, 3]
    assert batch["b"].tolist() == [2, 4]


def test_a_new_key_raises():
    tape = Tape(2)
    tape.append(TensorDict({"a": torch.tensor(1)}), TensorDict({"c": 0}))
    with pytest.raises(RLError, match=r"new \['b'\], missing \['a'\]"):
        tape.append(TensorDict({"b": torch.tensor(1)}), TensorDict({"c": 0}))


def test_writes_into_an_earlier_batch():
    first = Tape(3)
    for step in range(3):
        first.append(*transition(step, (2,)))
    batch = first.stack()
    second = Tape(3, out=batch)
    for step in range(3):
        second.append(*transition(step + 10, (2,)))
    assert second.stack() is batch
    assert batch["x"][0].flatten().tolist() == [10, 11, 12]


def test_gradients_flow():
    weight = torch.ones(1, requires_grad=True)
    tape = Tape(200)
    for step in range(CHUNK + 2):
        tape.append(TensorDict({"x": weight * step}), TensorDict({"y": weight}))
    tape.stack()["x"].sum().backward()
    assert weight.grad.item() == sum(range(CHUNK + 2))


def test_gradients_cannot_be_written_into_out():
    first = Tape(1)
    first.append(*transition(0))
    weight = torch.ones(1, requires_grad=True)
    root, following = transition(0)
    with pytest.raises(RLError, match=r"torch\.no_grad"):
        Tape(1, out=first.stack()).append(root.set("x", weight), following)


def test_ragged_data_is_stacked_lazily():
    tape = Tape(2)
    for size in (1, 2):
        row = LazyStackedTensorDict.lazy_stack(
            [TensorDict({"x": torch.ones(n)}) for n in (1, size)], 0
        )
        tape.append(row, TensorDict({"r": torch.ones(2)}, [2]))
    assert isinstance(tape.stack(), LazyStackedTensorDict)


def test_an_empty_tape_raises():
    with pytest.raises(RLError, match="1 step at least"):
        Tape(5).stack()
