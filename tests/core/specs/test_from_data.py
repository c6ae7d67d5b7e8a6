import torch
from tensordict import NonTensorData, NonTensorStack, TensorDict, lazy_stack, tensorclass

from rl.core.specs import (
    Composite,
    NonTensor,
    StackedComposite,
    Unbounded,
    make_composite_from_td,
)


def test_every_kind_of_entry():
    td = TensorDict(
        a=torch.zeros(3),
        b=torch.zeros(3, 2),
        c=TensorDict(d=torch.zeros(3, dtype=torch.int64), batch_size=[3]),
        e="x",
        f=NonTensorStack(*map(NonTensorData, "xyz")),
        batch_size=[3],
    )
    spec = make_composite_from_td(td)
    assert spec == Composite(
        a=Unbounded((3,)),
        b=Unbounded((3, 2)),
        c=Composite(d=Unbounded((3,), dtype=torch.int64), shape=(3,)),
        e=NonTensor((3,), example_data="x"),
        f=NonTensor((3,), example_data=["x", "y", "z"], batched=True),
        shape=(3,),
    )
    assert spec.is_in(td)
    assert spec.is_in(spec.rand())


def test_empty_shapes_become_one_unless_told():
    td = TensorDict(a=torch.zeros((), dtype=torch.bool))
    assert make_composite_from_td(td)["a"].shape == (1,)
    assert make_composite_from_td(td, unsqueeze_null_shapes=False)["a"].shape == ()


def test_dynamic_shape_leaves_the_batch():
    td = TensorDict(a=torch.zeros(3, 2), batch_size=[3])
    assert make_composite_from_td(td, dynamic_shape=True)["a"].shape == (3, -1)


def test_names_device_and_class_are_read():
    @tensorclass
    class Pair:
        x: torch.Tensor
        y: str | None = None

    spec = make_composite_from_td(Pair(x=torch.zeros(3, 2), batch_size=[3]))
    assert spec.data_cls is Pair
    assert isinstance(spec.rand(), Pair)
    td = TensorDict(a=torch.zeros(3), batch_size=[3], names=["time"], device="cpu")
    assert make_composite_from_td(td).names == ["time"]
    assert make_composite_from_td(td).device == torch.device("cpu")


def test_lazy_stacks_become_lazy_specs():
    td = lazy_stack([TensorDict(a=torch.zeros(2)), TensorDict(a=torch.zeros(3))])
    spec = make_composite_from_td(td)
    assert isinstance(spec, StackedComposite)
    assert spec.is_in(td)
