import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import MissingKeyError, ShapeError, SpecError
from rl.data import (
    LazyTensorStorage,
    ListStorage,
    ReplayBuffer,
    RoundRobinWriter,
    TensorDictReplayBuffer,
    TensorDictRoundRobinWriter,
)


def make(size=4, ndim=1):
    rb = TensorDictReplayBuffer(
        storage=LazyTensorStorage(size, ndim=ndim),
        writer=TensorDictRoundRobinWriter(track_generations=True),
        batch_size=3,
    )
    return rb


def rows(n):
    return TensorDict({"x": torch.arange(n), "v": torch.zeros(n), "at": torch.full((n, 1), 5)}, [n])


def update(rb, index, generation, value=1.0, **kwargs):
    index, generation = torch.tensor(index), torch.tensor(generation)
    patch = {"v": torch.full((len(index),), value)}
    return rb.update_if_present(index=index, generation=generation, patch=patch, **kwargs)


def test_generations_grow_with_each_write_and_when_emptied():
    rb = make()
    rb.extend(rows(4))
    batch, info = rb.sample(return_info=True)
    assert batch["index_generation"].tolist() == [0, 0, 0]
    assert torch.equal(info["index_generation"], batch["index_generation"])
    rb.extend(rows(2))
    assert rb.writer.generations_of(torch.arange(4)).tolist() == [1, 1, 0, 0]
    rb.empty()
    rb.extend(rows(4))
    assert rb.writer.generations_of(torch.arange(4)).tolist() == [3, 3, 2, 2]
    with pytest.raises(IndexError, match="Pass the `index` entry"):
        rb.writer.generations_of(torch.tensor([4]))


def test_only_rows_that_are_still_there_are_written():
    rb = make()
    rb.extend(rows(4))
    rb.extend(rows(2))
    result = update(rb, [0, 1, 2, 3], [0, 0, 0, 0])
    assert result.updated.tolist() == [False, False, True, True]
    assert (result.updated_count, result.stale_count) == (2, 2)
    assert result.version_rejected is None
    assert rb[:]["v"].tolist() == [0.0, 0.0, 1.0, 1.0]
    rb.empty()
    assert update(rb, [2], [0]).stale_count == 1


def test_versions_decide():
    rb = make()
    rb.extend(rows(4))
    result = update(rb, [0, 1, 2], [0, 0, 9], version_key="at", version=torch.tensor([4, 5, 6]))
    assert result.updated.tolist() == [False, True, False]
    assert result.version_rejected.tolist() == [True, False, False]
    assert result.stale_count == 1
    newer = update(rb, [1], [0], 2.0, version_key="at", version=5, require_newer=True)
    assert newer.version_rejected_count == 1
    assert rb[1]["v"] == 1.0


def test_of_several_answers_to_one_row_the_newest_is_taken():
    rb = make()
    rb.extend(rows(4))
    result = rb.update_if_present(
        index=torch.tensor([2, 2, 2]),
        generation=torch.zeros(3, dtype=torch.int64),
        patch={"v": torch.tensor([1.0, 2.0, 3.0])},
        version_key="at",
        version=torch.tensor([7, 8, 6]),
    )
    assert result.updated.tolist() == [False, True, False]
    assert result.version_rejected.tolist() == [True, False, True]
    assert (rb[2]["v"], rb[2]["at"]) == (2.0, 8)
    rb.update_if_present(
        index=torch.tensor([1, 1]),
        generation=torch.zeros(2, dtype=torch.int64),
        patch={"v": torch.tensor([1.0, 2.0])},
    )
    assert rb[1]["v"] == 2.0


def test_two_dimensions_and_nested_keys():
    rb = make(8, ndim=2)
    rb.extend(TensorDict({"a": {"b": torch.zeros(2, 4)}}, [2, 4]))
    batch = rb.sample()
    patch = TensorDict({"a": {"b": torch.ones(3)}}, [3])
    result = rb.update_if_present(
        index=batch["index"], generation=batch["index_generation"], patch=patch
    )
    assert result.updated.all()
    t, b = batch["index"].unbind(-1)
    assert rb.storage[:]["a", "b"][t, b].tolist() == [1.0] * 3
    assert rb.storage[:]["a", "b"].sum() == len({(int(x), int(y)) for x, y in batch["index"]})


@pytest.mark.parametrize(
    ("patch", "error", "message"),
    [
        ({"w": torch.ones(2)}, MissingKeyError, "`w` is not in the storage"),
        ({"v": torch.ones(2, 1)}, ShapeError, r"expected \[2\]"),
        ({"x": torch.ones(2)}, SpecError, "expected torch.int64"),
    ],
)
def test_a_patch_that_does_not_fit_changes_nothing(patch, error, message):
    rb = make()
    rb.extend(rows(4))
    before = rb[:].clone()
    with pytest.raises(error, match=message):
        rb.update_if_present(
            index=torch.arange(2),
            generation=torch.zeros(2, dtype=torch.int64),
            patch={"at": torch.ones(2, 1, dtype=torch.int64), **patch},
        )
    assert (rb[:] == before).all()


def test_bad_input():
    rb = make()
    rb.extend(rows(4))
    with pytest.raises(ValueError, match="together"):
        update(rb, [0], [0], version_key="at")
    with pytest.raises(MissingKeyError, match="`version_key`"):
        update(rb, [0], [0], version_key="av", version=1)
    with pytest.raises(ValueError, match="also in the patch"):
        update(rb, [0], [0], version_key="v", version=1)
    with pytest.raises(ShapeError, match="as the sample has them"):
        update(rb, [0, 1], [0])
    plain = TensorDictReplayBuffer(storage=LazyTensorStorage(4))
    plain.extend(rows(4))
    with pytest.raises(RuntimeError, match="track_generations=True"):
        update(plain, [0], [0])
    items = ReplayBuffer(storage=ListStorage(4), writer=RoundRobinWriter(track_generations=True))
    with pytest.raises(SpecError, match="Use a tensor storage"):
        update(items, [0], [0])
