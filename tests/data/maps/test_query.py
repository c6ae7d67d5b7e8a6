import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import MissingKeyError
from rl.data.maps.query import QueryModule
from rl.data.maps.sip_hash import SipHash


@pytest.fixture
def td():
    return TensorDict(
        {
            "a": torch.tensor([[1], [1], [1], [2]]),
            "nest": {"b": torch.tensor([3.0, 3.0, 2.0, 3.0])},
            "other": torch.randn(4),
        },
        [4],
    )


def test_rows_are_told_apart_by_their_entries(td):
    query = QueryModule(["a", ("nest", "b")], index_key=("nest", "index"))
    out = query(td)
    assert out is td
    assert td["nest", "index"].tolist() == [0, 0, 1, 2]
    assert td["_hash"].shape == (4,)


def test_a_pair_is_not_its_mirror_image():
    query = QueryModule(["a", "b"])
    out = query(TensorDict(a=torch.tensor([1, 2]), b=torch.tensor([2, 1]), batch_size=[2]))
    assert out["_index"].tolist() == [0, 1]


def test_single_and_batched_rows_agree(td):
    query = QueryModule(["a", ("nest", "b")])
    batched = query(td)["_index"].clone()
    assert query(td[3])["_index"] == batched[3]
    assert torch.equal(query(td.reshape(2, 2))["_index"], batched.reshape(2, 2))


def test_a_clone_leaves_the_input(td):
    before = set(td.keys(True))
    out = QueryModule(["a"], clone=True)(td, write_hash=False)
    assert set(td.keys(True)) == before
    assert set(out.keys(True)) == before | {"_index"}


def test_without_extending(td):
    query = QueryModule(["a"])
    query(td[:1])
    assert query(td, extend=False)["_index"].tolist() == [0, 0, 0, -1]


def test_a_module_for_each_entry(td):
    modules = [lambda x: x[:, 0], lambda x: x[:, 0].long()]
    query = QueryModule(["a", ("nest", "b")], hash_module=modules, aggregator=lambda x: x.sum(-1))
    assert query(td)["_hash"].tolist() == [4, 4, 3, 5]


def test_bad_input(td):
    with pytest.raises(MissingKeyError, match="Did you mean `other`"):
        QueryModule(["othr"])(td)
    with pytest.raises(ValueError, match="name the entries"):
        QueryModule([])
    with pytest.raises(ValueError, match="one for each"):
        QueryModule(["a"], hash_module=[SipHash(), SipHash()])
