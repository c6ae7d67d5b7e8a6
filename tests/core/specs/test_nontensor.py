import pytest
import torch
from tensordict import NonTensorData, NonTensorStack, TensorDict

from rl.core.errors import SpecError
from rl.core.specs import Bounded, Composite, NonTensor


def test_values_wrap_the_example():
    spec = NonTensor((2,), example_data="a")
    for value in (spec.rand(), spec.zero(), spec.one()):
        assert isinstance(value, NonTensorData)
        assert (value.data, value.batch_size) == ("a", (2,))
    assert spec.rand((3,)).batch_size == (3, 2)
    assert NonTensor().shape == (1,)
    assert NonTensor().device is None


def test_a_batch_of_examples_is_a_stack():
    spec = NonTensor((2,), example_data=["a", "b"], batched=True)
    assert isinstance(spec.rand(), NonTensorStack)
    assert spec.rand().tolist() == ["a", "b"]
    assert spec.rand((3,)).tolist() == [["a", "b"]] * 3
    with pytest.raises(SpecError, match="give 2, or batched=False"):
        NonTensor((2,), example_data=["a"], batched=True)


def test_feature_dims_belong_to_the_object():
    spec = NonTensor((4, 3), example_data=[1, 2, 3], feature_dims=1)
    assert spec.rand().batch_size == (4,)
    assert spec.rand().data == [1, 2, 3]
    assert spec.is_in(spec.rand())
    with pytest.raises(SpecError, match="drop one"):
        NonTensor((2,), batched=True, feature_dims=1)


def test_any_object_is_in_and_wrappers_must_fit():
    spec = NonTensor((2,), example_data="a")
    assert spec.is_in("b")
    assert spec.is_in(3)
    assert spec.is_in(NonTensorData(1, batch_size=(5, 2)))
    assert not spec.is_in(NonTensorData("b"))
    assert not spec.is_in(torch.zeros(2))
    assert not spec.is_in(TensorDict(batch_size=[2]))


def test_encode_and_to_numpy():
    spec = NonTensor((), example_data="a")
    wrapped = spec.encode("b")
    assert wrapped.data == "b"
    assert spec.encode(wrapped) is wrapped
    assert spec.to_numpy(wrapped) == "b"
    assert spec.to_numpy("b", safe=True) == "b"
    assert spec.to_numpy(NonTensorStack(NonTensorData("a"), NonTensorData("b"))) == ["a", "b"]
    assert spec.project("x") == "x"
    spec.type_check(object())


def test_within_a_composite():
    spec = Composite(text=NonTensor((), example_data="a"))
    assert spec.rand()["text"] == "a"
    assert spec.is_in(TensorDict(text="b"))
    assert spec.to_numpy(TensorDict(text="b")) == {"text": "b"}
    assert spec.encode({"text": "c"})["text"] == "c"


def test_views_copies_and_equality():
    spec = NonTensor((), example_data="a")
    assert spec.expand(3).rand().batch_size == (3,)
    assert spec.clone() == spec
    assert spec != NonTensor((), example_data="b")
    assert spec.to("cpu").clear_device_().device is None
    assert spec.to(torch.float32) is spec
    assert "example_data='a'" in repr(spec)
    with pytest.raises(NotImplementedError, match="no cardinality"):
        spec.cardinality()


def test_stacks():
    a, b = NonTensor((), example_data="a"), NonTensor((), example_data="b")
    assert torch.stack([a, a]) == NonTensor((2,), example_data="a")
    assert torch.stack([a, b]).rand().tolist() == ["a", "b"]


def test_the_device_of_the_wrapper_does_not_count_in_comparisons():
    assert NonTensor(()) == NonTensor(()).to("cpu")
    spec = Composite(n=NonTensor(()), a=Bounded(-1, 1, shape=(2,)), device="cpu")
    assert spec == spec.to("cpu")
    assert NonTensor((2,)) != NonTensor((3,))
