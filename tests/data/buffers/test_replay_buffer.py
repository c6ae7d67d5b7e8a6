import pickle
import threading
from functools import partial

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from rl.core import Compose, Transform
from rl.core.errors import CheckpointError, ShapeError, SpecError
from rl.data import (
    LazyMemmapStorage,
    LazyTensorStorage,
    ListStorage,
    PrioritizedSampler,
    RandomSampler,
    ReplayBuffer,
    RoundRobinWriter,
    SamplerWithoutReplacement,
    TensorDictRoundRobinWriter,
    TensorStorage,
)


def make(n=10, size=10, batch_size=4, **kwargs):
    rb = ReplayBuffer(storage=LazyTensorStorage(size), batch_size=batch_size, **kwargs)
    if n:
        rb.extend({"x": torch.arange(n)})
    return rb


class AddOne(Transform):
    """Adds 1 on reading and takes it away on writing."""

    def _apply_transform(self, tensor):
        return tensor + 1

    def _inv_apply_transform(self, tensor):
        return tensor - 1


def add_one():
    return AddOne(in_keys=["x"], in_keys_inv=["x"])


# ------------------------------------------------------------------ parts


def test_defaults():
    rb = ReplayBuffer(batch_size=2)
    assert isinstance(rb.storage, ListStorage)
    assert isinstance(rb.sampler, RandomSampler)
    assert type(rb.writer) is RoundRobinWriter
    assert rb.storage.max_size == 1000


def test_parts_may_be_functions_that_make_them():
    rb = ReplayBuffer(
        storage=partial(LazyTensorStorage, 5),
        sampler=SamplerWithoutReplacement,
        writer=TensorDictRoundRobinWriter,
    )
    assert rb.storage.max_size == 5
    assert isinstance(rb.sampler, SamplerWithoutReplacement)
    assert rb.writer.writes_index


@pytest.mark.parametrize("part", ["storage", "sampler", "writer"])
def test_a_part_of_another_kind_raises(part):
    with pytest.raises(TypeError, match=f"`{part}` is a int, expected a {part.title()}"):
        ReplayBuffer(**{part: 5})


def test_parts_that_do_not_fit_raise():
    with pytest.raises(ValueError, match="max_capacity=10"):
        ReplayBuffer(storage=LazyTensorStorage(10), sampler=PrioritizedSampler(5, 1.0, 1.0))
    with pytest.raises(ValueError, match="Pass `ndim=2` to the storage"):
        ReplayBuffer(storage=LazyTensorStorage(10), dim_extend=1)
    with pytest.raises(ValueError, match="not both"):
        ReplayBuffer(transform=add_one(), transform_factory=add_one)
    for name in ("batch_size", "prefetch"):
        with pytest.raises(ValueError, match=f"`{name}` is -1, expected a positive number"):
            ReplayBuffer(**{name: -1})


@pytest.mark.skipif(torch.accelerator.is_available(), reason="needs a machine without accelerator")
def test_pinning_without_an_accelerator_raises():
    with pytest.raises(RuntimeError, match=r"Pass `pin_memory=torch\.accelerator\.is_available"):
        ReplayBuffer(pin_memory=True)


def test_parts_may_be_replaced():
    rb = make(generator=torch.Generator().manual_seed(0))
    generator = rb.sampler.generator
    old = rb.set_sampler(SamplerWithoutReplacement(shuffle=False))
    assert isinstance(old, RandomSampler)
    assert rb.sampler.generator is generator
    assert rb.sample()["x"].tolist() == [0, 1, 2, 3]
    rb.set_storage(ListStorage(3))
    rb.set_writer(RoundRobinWriter())
    rb.extend([7, 8])
    assert rb.sample(2).tolist() == [7, 8]


# ---------------------------------------------------------------- writing


def test_add_and_extend_return_the_numbers():
    rb = make(0, size=3)
    assert rb.add({"x": torch.tensor(5)}) == 0
    assert rb.extend({"x": torch.tensor([6, 7])}).tolist() == [1, 2]
    assert rb.add({"x": torch.tensor(8)}) == 0
    assert rb[:]["x"].tolist() == [8, 6, 7]
    assert rb.write_count == 4
    assert len(rb) == 3


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ({"x": torch.arange(2), "y": torch.arange(2)}, SpecError, "`y` is not a key"),
        ({"x": torch.zeros(2, 1)}, ShapeError, "`x` has shape"),
        ({"x": torch.zeros(2)}, SpecError, "Cast it"),
        ({"x": torch.arange(11)}, ShapeError, "room for 10"),
    ],
)
def test_a_rejected_batch_changes_nothing(rows, error, message):
    rb = make(5, sampler=PrioritizedSampler(10, 1.0, 1.0))
    before = rb.sampler.state_dict()["leaves"]
    with pytest.raises(error, match=message):
        rb.extend(rows)
    assert rb[:]["x"].tolist() == list(range(5))
    assert (rb.writer.cursor, rb.write_count) == (5, 5)
    assert torch.equal(rb.sampler.state_dict()["leaves"], before)


def test_an_empty_batch_writes_nothing():
    rb = make(5)
    assert rb.extend({"x": torch.arange(0)}).tolist() == []
    assert len(rb) == 5


def test_setting_rows_gives_them_the_default_priority():
    rb = make(4, sampler=PrioritizedSampler(10, 1.0, 1.0, eps=0.0))
    rb.update_priority(torch.arange(4), torch.tensor([1.0, 2.0, 3.0, 4.0]))
    rb[1:3] = {"x": torch.tensor([8, 9])}
    assert rb[:]["x"].tolist() == [0, 8, 9, 3]
    assert rb.sampler.state_dict()["leaves"][:4].tolist() == [1.0, 4.0, 4.0, 4.0]
    with pytest.raises(ShapeError, match="as many rows as are replaced"):
        rb[0:2] = {"x": torch.arange(3)}
    with pytest.raises(IndexError):
        rb[7] = {"x": torch.tensor(1)}


def test_marking_an_update():
    rb = make(2, sampler=PrioritizedSampler(10, 1.0, 1.0, eps=0.0))
    rb.update_priority(torch.arange(2), torch.tensor([0.5, 3.0]))
    rb.mark_update(torch.tensor([0]))
    assert rb.sampler.state_dict()["leaves"][:2].tolist() == [3.0, 3.0]


# --------------------------------------------------------------- sampling


def test_a_batch_and_its_info():
    data, info = make().sample(return_info=True)
    assert torch.equal(data["x"], info["index"])
    assert make().sample(7)["x"].shape == (7,)


def test_an_empty_buffer_raises():
    with pytest.raises(RuntimeError, match="write with `add` or `extend` before sampling"):
        make(0).sample()
    assert not make(0).can_sample()
    assert make(3).can_sample(3)
    assert not make(3).can_sample()


def test_a_missing_batch_size_raises():
    rb = make(batch_size=None)
    for use in (rb.sample, rb.next):
        with pytest.raises(RuntimeError, match=r"Pass `batch_size=` to the buffer's constructor"):
            use()
    with pytest.raises(ValueError, match="`batch_size` is 0, expected a positive number"):
        rb.sample(0)


def test_the_index_is_noted_when_the_writer_says_so():
    rows = TensorDict({"x": torch.arange(5)}, [5])
    for writer, noted in ((RoundRobinWriter(), False), (TensorDictRoundRobinWriter(), True)):
        rb = ReplayBuffer(storage=LazyTensorStorage(5), writer=writer, batch_size=3)
        rb.extend(rows)
        assert ("index" in rb.sample().keys()) is noted  # noqa: SIM118 (a TensorDict is no dict)


def test_collation():
    rb = ReplayBuffer(batch_size=3)
    rb.extend([TensorDict({"x": i}) for i in range(5)])
    assert rb.sample()["x"].shape == (3,)
    assert rb[:]["x"].tolist() == [0, 1, 2, 3, 4]
    rb = ReplayBuffer(batch_size=3, collate_fn=len)
    rb.extend([1, 2])
    assert rb.sample() == 3


def test_iteration_is_one_pass():
    rb = make(sampler=SamplerWithoutReplacement())
    for _ in range(2):
        batches = [batch["x"] for batch in rb]
        assert [len(batch) for batch in batches] == [4, 4, 2]
        assert sorted(torch.cat(batches).tolist()) == list(range(10))
    sizes = []
    while (batch := rb.next()) is not None:
        sizes.append(len(batch["x"]))
    assert sizes == [4, 4, 2]


def test_the_generator_decides():
    a, b = (make(generator=torch.Generator().manual_seed(1)) for _ in range(2))
    for _ in range(3):
        assert torch.equal(a.sample()["x"], b.sample()["x"])
    b.set_rng(torch.Generator().manual_seed(2))
    assert not torch.equal(a.sample(50)["x"], b.sample(50)["x"])
    torch.manual_seed(0)
    first = make().sample(50)["x"]
    torch.manual_seed(0)
    assert torch.equal(make().sample(50)["x"], first)


# ------------------------------------------------------------- transforms


def test_transforms_act_on_reading_and_inverses_on_writing():
    rb = ReplayBuffer(storage=LazyTensorStorage(10), batch_size=3, transform=add_one())
    rows = TensorDict({"x": torch.full((4,), 5)}, [4])
    rb.extend(rows)
    assert rb.storage[:]["x"].tolist() == [4] * 4
    assert rb.sample()["x"].tolist() == [5] * 3
    assert rb[:]["x"].tolist() == [5] * 4
    assert rows["x"].tolist() == [5] * 4
    rb[0] = TensorDict({"x": torch.tensor(9)})
    assert rb.storage[0]["x"] == 8


def test_an_inverted_transform_acts_the_other_way():
    rb = ReplayBuffer(storage=LazyTensorStorage(10), batch_size=3)
    rb.append_transform(add_one(), invert=True)
    rb.extend(TensorDict({"x": torch.full((4,), 5)}, [4]))
    assert rb.storage[:]["x"].tolist() == [6] * 4
    assert rb.sample()["x"].tolist() == [5] * 3


def test_functions_and_modules_are_transforms_in_order():
    class Times(nn.Module):
        def forward(self, td):
            return td.set("x", td["x"] * 10)

    rb = ReplayBuffer(storage=LazyTensorStorage(10), batch_size=2, transform_factory=Times)
    rb.insert_transform(0, lambda td: td.set("x", td["x"] + 1))
    rb.append_transform(Compose(add_one()))
    rb.extend(TensorDict({"x": torch.full((3,), 3)}, [3]))
    assert rb.sample()["x"].tolist() == [(2 + 1) * 10 + 1] * 2
    assert len(rb.transform) == 3


def test_a_transform_in_place_leaves_the_rows():
    rb = ReplayBuffer(storage=LazyTensorStorage(10), transform=lambda td: td.zero_())
    rb.extend(TensorDict({"x": torch.ones(3)}, [3]))
    assert rb[:]["x"].tolist() == [0.0] * 3
    assert rb.storage[:]["x"].tolist() == [1.0] * 3


def test_transforms_of_data_that_is_no_tensordict():
    rb = ReplayBuffer(storage=ListStorage(5), batch_size=2, transform=lambda x: x * 2)
    rb.extend([3, 3])
    assert rb.sample().tolist() == [6, 6]


def test_what_cannot_be_called_is_no_transform():
    with pytest.raises(TypeError, match="a function on TensorDicts"):
        ReplayBuffer(transform=5)


# --------------------------------------------------------- two dimensions


def steps(num_envs, num_steps, start=0):
    t = torch.arange(start, start + num_steps).expand(num_envs, num_steps)
    return TensorDict({"t": t, "env": torch.arange(num_envs)[:, None].expand_as(t)}, t.shape)


def test_two_dimensions_are_extended_along_the_last():
    rb = ReplayBuffer(storage=LazyTensorStorage(8, ndim=2), batch_size=50)
    assert rb.dim_extend == 1
    index = rb.extend(steps(2, 3))
    assert index.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]]
    rb.extend(steps(2, 3, start=3))
    assert len(rb) == 8
    assert rb[:]["t"].tolist() == [[4, 5, 2, 3], [4, 5, 2, 3]]
    assert rb[:]["env"].tolist() == [[0] * 4, [1] * 4]
    data, info = rb.sample(return_info=True)
    time, env = info["index"]
    assert torch.equal(data["env"], env)
    assert torch.equal(data["t"], torch.tensor([4, 5, 2, 3])[time])
    with pytest.raises(ShapeError, match="room for 4"):
        rb.extend(steps(2, 5))


def test_more_than_fits_raises_before_the_storage_is_made():
    rb = ReplayBuffer(storage=LazyTensorStorage(8, ndim=2))
    with pytest.raises(ShapeError, match="5 rows, the storage has room for 4"):
        rb.extend(steps(2, 5))


def test_the_first_dimension_may_be_extended_instead():
    rb = ReplayBuffer(storage=LazyTensorStorage(12, ndim=2), dim_extend=0, batch_size=5)
    rb.extend(steps(2, 3))
    rb.extend(steps(2, 3, start=3))
    assert rb[:].shape == (4, 3)
    assert rb.sample().shape == (5,)


def test_priorities_of_two_dimensions():
    rb = ReplayBuffer(
        storage=LazyTensorStorage(8, ndim=2), sampler=PrioritizedSampler(8, 1.0, 1.0), batch_size=40
    )
    rb.extend(steps(2, 3))
    zero = torch.stack(rb.storage.unravel(torch.arange(6)), -1)
    rb.update_priority(zero, 0.0)
    rb.update_priority((torch.tensor([2]), torch.tensor([1])), 5.0)
    batch = rb.sample()
    assert batch["t"].unique().tolist() == [2]
    assert batch["env"].unique().tolist() == [1]


# ----------------------------------------------------------------- saving


def test_loading_into_other_parts_raises_and_changes_nothing(tmp_path):
    rb = make(sampler=SamplerWithoutReplacement())
    rb.dumps(tmp_path)
    other = make(3)
    with pytest.raises(CheckpointError, match=r"`sampler`.*Build the buffer with the parts"):
        other.loads(tmp_path)
    with pytest.raises(CheckpointError, match="SamplerWithoutReplacement, this buffer"):
        other.load_state_dict(rb.state_dict())
    assert len(other) == 3


def test_save_and_load_are_dumps_and_loads(tmp_path):
    make().save(tmp_path)
    other = make(0)
    other.load(tmp_path)
    assert other[:]["x"].tolist() == list(range(10))


def test_the_state_holds_transforms(tmp_path):
    class Scale(nn.Module):
        def __init__(self, value):
            super().__init__()
            self.register_buffer("value", torch.tensor(value))

        def forward(self, td):
            return td

    make(transform=Scale(2.0)).dumps(tmp_path)
    other = make(transform=Scale(3.0))
    other.loads(tmp_path)
    assert list(other.transform.state_dict().values()) == [torch.tensor(2.0)]


def test_a_memmap_buffer_survives_its_files(tmp_path):
    rb = ReplayBuffer(storage=LazyMemmapStorage(10, scratch_dir=tmp_path / "live"), batch_size=2)
    rb.extend({"x": torch.arange(4)})
    rb.dumps(tmp_path / "saved")
    rb.extend({"x": torch.arange(4)})
    other = ReplayBuffer(storage=LazyMemmapStorage(10), batch_size=2)
    other.loads(tmp_path / "saved")
    assert other[:]["x"].tolist() == [0, 1, 2, 3]


# ------------------------------------------------------------- the object


def test_a_buffer_can_be_sent_to_another_process():
    rb = make(prefetch=2, generator=None)
    for _ in range(4):
        rb.sample()
    other = pickle.loads(pickle.dumps(rb))
    assert other[:]["x"].tolist() == list(range(10))
    other.extend({"x": torch.arange(2)})
    assert other.sample()["x"].shape == (4,)
    assert "prefetch" not in repr(other)
    rb.shutdown()


def test_threads_never_see_a_row_that_is_half_written():
    rb = ReplayBuffer(
        storage=LazyTensorStorage(64), sampler=PrioritizedSampler(64, 0.6, 0.4), batch_size=32
    )
    stop, failures = threading.Event(), []

    def write(value):
        while not stop.is_set():
            rb.extend({"a": torch.full((16,), value), "b": torch.full((16, 3), value)})

    def read():
        while not stop.is_set():
            data, info = rb.sample(return_info=True)
            if not (data["a"][:, None] == data["b"]).all():
                failures.append(data)
            rb.update_priority(info["index"], torch.rand(32))

    rb.extend({"a": torch.zeros(16), "b": torch.zeros(16, 3)})
    threads = [threading.Thread(target=write, args=(float(i),)) for i in (1, 2)]
    threads += [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    stop.wait(0.5)
    stop.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert not failures
    assert rb.write_count > 100


def test_a_dataset_is_a_buffer():
    rb = ReplayBuffer(storage=TensorStorage({"x": torch.arange(5)}), batch_size=2)
    assert len(rb) == 5
    assert rb.sample()["x"].shape == (2,)
