import pytest
import torch
from tensordict import NonTensorData, TensorDict, tensorclass

from rl.core.errors import MissingKeyError, ShapeError, SpecError
from rl.data import LazyTensorStorage, TensorStorage
from rl.data.storages import structure


def td(n, start=0):
    x = torch.arange(start, start + n)
    return TensorDict(
        {
            "x": x[:, None].expand(n, 3).float(),
            "half": x.bfloat16(),
            "next": {"done": (x % 2 == 0)[:, None]},
            "agents": TensorDict({"y": x[:, None, None].expand(n, 2, 1)}, [n, 2]),
        },
        [n],
    )


@tensorclass
class Pair:
    a: torch.Tensor
    b: torch.Tensor


def lazy(n=5, size=10, **kwargs):
    storage = LazyTensorStorage(size, **kwargs)
    storage.set(range(n), td(n))
    return storage


def test_rows_come_back_nested_as_they_went_in():
    index = torch.tensor([4, 0, 4])
    rows = lazy().get(index)
    assert (rows == td(5)[index]).all()
    assert rows["agents"].batch_size == (3, 2)
    assert rows.device == torch.device("cpu")
    assert not rows.is_locked


@pytest.mark.parametrize(
    "index",
    [0, -1, slice(1, 4), torch.tensor([1, 3]), [2, 0], torch.arange(5) > 2, ..., (slice(2),)],
    ids=str,
)
def test_any_index_of_a_tensor(index):
    assert (lazy()[index] == td(5)[index]).all()
    assert lazy()[index].batch_size == td(5)[index].batch_size


def test_rows_that_are_not_in_use_are_out_of_range():
    with pytest.raises(IndexError):
        lazy()[5]
    with pytest.raises(IndexError, match="write rows with `extend` first"):
        LazyTensorStorage(3)[0]


def test_gathered_rows_are_copies():
    storage = lazy()
    storage.get(torch.tensor([0]))["x"].zero_().add_(9)
    assert storage[0]["x"].tolist() == [0.0] * 3


@pytest.mark.parametrize("kind", [tuple, list])
def test_sequences_of_tensors(kind):
    storage = LazyTensorStorage(4)
    storage.set(range(3), kind([torch.arange(3), {"b": torch.zeros(3, 2)}]))
    rows = storage.get(torch.tensor([2]))
    assert type(rows) is kind
    assert rows[0].tolist() == [2]
    assert rows[1]["b"].shape == (1, 2)


def test_tensorclasses_stay_tensorclasses():
    storage = LazyTensorStorage(4)
    storage.set(range(2), Pair(a=torch.arange(2), b=torch.ones(2, 1), batch_size=[2]))
    rows = storage.get(torch.tensor([1]))
    assert isinstance(rows, Pair)
    assert rows.a.tolist() == [1]


def test_gradients_are_cut():
    storage = LazyTensorStorage(4)
    storage.set(range(2), {"x": torch.ones(2, requires_grad=True) * 2})
    assert not storage[:]["x"].requires_grad


def test_a_row_may_come_first():
    storage = LazyTensorStorage(4)
    storage.set(0, td(1)[0])
    storage.set(range(1, 3), td(2))
    assert len(storage) == 3


def unchanged(storage):
    assert len(storage) == 5
    assert (storage[:] == td(5)).all()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda d: d.set("extra", torch.zeros(2)), SpecError, "`extra` is not a key.*Drop the key"),
        (lambda d: d.exclude("x"), MissingKeyError, "`x` is missing.*Write every key"),
        (
            lambda d: d.exclude(("next", "done")),
            MissingKeyError,
            r"`next\.done` is missing; given keys: \[\], expected keys: \['done'\]",
        ),
        (
            lambda d: d.exclude("x").set("z", torch.zeros(2)),
            MissingKeyError,
            "`x` is missing",
        ),
        (
            lambda d: d.set("x", torch.zeros(2, 4)),
            ShapeError,
            r"`x` has shape \[2, 4\], expected \[2, 3\].*Reshape it",
        ),
        (
            lambda d: d.set("x", torch.zeros(2, 3, dtype=torch.float64)),
            SpecError,
            r"`x` has dtype torch\.float64, expected torch\.float32.*\.to\(torch\.float32\)",
        ),
        (lambda d: d.set("x", {"y": torch.zeros(2)}), SpecError, "`x` is a TensorDict, expected"),
        (lambda d: d.to_dict(), SpecError, "`data` is a dict, expected a tensordict"),
    ],
)
def test_rows_unlike_the_first_raise_and_change_nothing(change, error, message):
    storage = lazy()
    with pytest.raises(error, match=message):
        storage.set(range(5, 7), change(td(2)))
    unchanged(storage)


@pytest.mark.parametrize("cursor", [10, -1, 7, range(9, 11), torch.tensor([0, 10])])
def test_rows_out_of_range_raise_and_change_nothing(cursor):
    storage = lazy()
    with pytest.raises(IndexError, match="holds 5 of 10 rows"):
        storage.set(cursor, td(1)[0] if isinstance(cursor, int) else td(2))
    unchanged(storage)


def test_dicts_are_checked_as_tensordicts_are():
    storage = LazyTensorStorage(4)
    storage.set(range(2), {"a": torch.zeros(2), "b": torch.zeros(2, 1)})
    with pytest.raises(MissingKeyError, match="`b` is missing"):
        storage.set(range(2), {"a": torch.zeros(2)})
    with pytest.raises(ShapeError, match=r"`b` has shape \[1, 1\], expected \[2, 1\]"):
        storage.set(range(2), {"a": torch.zeros(2), "b": torch.zeros(1, 1)})
    with pytest.raises(ShapeError, match="expected it to start with"):
        LazyTensorStorage(4).set(range(2), {"a": torch.zeros(2), "b": torch.zeros(3)})


@pytest.mark.parametrize("data", ["text", {"x": [1, "a"]}, {"x": 5}])
def test_leaves_that_are_no_tensors_raise(data):
    with pytest.raises(SpecError, match="`ListStorage`"):
        LazyTensorStorage(4).set(0, data)


def test_text_in_a_tensordict_raises():
    with pytest.raises(SpecError, match=r"`note` is a NonTensorData.*`ListStorage`"):
        LazyTensorStorage(4).set(0, TensorDict({"note": NonTensorData("hi")}))
    with pytest.raises(SpecError, match="Write at least one key"):
        LazyTensorStorage(4).set(0, TensorDict())


def test_overwriting():
    storage = lazy()
    storage[1:3] = td(2, start=7)
    storage[0] = td(1, start=9)[0]
    storage[torch.tensor([4, 3])] = td(2, start=5)
    assert storage[:]["x"][:, 0].tolist() == [9, 7, 8, 6, 5]
    with pytest.raises(ShapeError, match="give as many rows as are replaced"):
        storage[0:2] = td(3)


def test_two_dimensions_number_their_product():
    storage = LazyTensorStorage(13, ndim=2)
    storage.set(range(2), TensorDict({"x": torch.arange(6).view(2, 3, 1)}, [2, 3]))
    assert (len(storage), storage.max_rows, storage.shape) == (6, 4, (2, 3))
    flat = torch.arange(6)
    assert storage.get(storage.unravel(flat))["x"][:, 0].tolist() == flat.tolist()
    assert torch.equal(storage.ravel(storage.unravel(flat)), flat)
    assert torch.equal(storage.ravel(torch.stack(storage.unravel(flat), -1)), flat)
    assert storage[1]["x"].shape == (3, 1)
    with pytest.raises(IndexError, match=r"2 coordinates.*`index` entry"):
        storage.ravel(torch.tensor([1, 2, 3]))


def test_a_given_tensordict_is_written_in_place():
    data = td(4)
    storage = TensorStorage(data)
    storage.set(1, td(1, start=9)[0])
    assert data["x"][1].tolist() == [9.0] * 3
    assert len(storage) == storage.max_size == 4
    assert TensorStorage(torch.zeros(4, 3), ndim=2).max_size == 12


def test_bad_arguments_raise():
    with pytest.raises(ValueError, match="expected a positive number of rows"):
        LazyTensorStorage(0)
    with pytest.raises(ValueError, match="expected at least 1"):
        LazyTensorStorage(4, ndim=0)
    with pytest.raises(ShapeError, match="Leave `max_size` out"):
        TensorStorage(torch.zeros(4), max_size=5)
    with pytest.raises(ShapeError, match="ndim=2"):
        TensorStorage(torch.zeros(4), ndim=2)


def test_state_round_trip_keeps_layout():
    other = LazyTensorStorage(10)
    other.load_state_dict(lazy().state_dict())
    assert (other[:] == td(5)).all()
    assert other[:]["agents"].batch_size == (5, 2)
    other.load_state_dict(LazyTensorStorage(10).state_dict())
    assert len(other) == 0


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: LazyTensorStorage(11), "Build it with max_size=10"),
        (lambda: LazyTensorStorage(10, ndim=2), "this one ndim=2"),
        (lambda: TensorStorage(TensorDict({"x": torch.zeros(10)}, [10])), "Load into a new buffer"),
    ],
)
def test_a_state_of_another_storage_raises(other, message):
    with pytest.raises(SpecError, match=message):
        other().load_state_dict(lazy().state_dict())


def test_batches_are_built_as_the_constructor_builds_them(monkeypatch):
    name = "rl.data.storages.structure._new_tensordict"
    assert structure._new_tensordict is not TensorDict  # else reading a batch has become slow
    index = torch.tensor([3, 0])
    quick = lazy().get(index)
    monkeypatch.setattr(name, TensorDict)
    plain = lazy().get(index)
    assert (quick == plain).all()
    for got, expected in ((quick, plain), *((quick[k], plain[k]) for k in ("next", "agents"))):
        assert type(got) is type(expected)
        assert got.batch_size == expected.batch_size
        assert got.device == expected.device
        assert got.names == expected.names
        assert got.is_locked is expected.is_locked
        assert list(got.keys()) == list(expected.keys())
    quick.set(("next", "reward"), torch.zeros(2, 1))
    with pytest.raises(RuntimeError):
        quick.set("wrong", torch.zeros(3))
