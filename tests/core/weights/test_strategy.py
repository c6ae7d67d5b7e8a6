import pytest
import torch
from tensordict import TensorDict, TensorDictParams
from tensordict.nn import TensorDictModule, TensorDictSequential
from torch import nn

from rl.core import RLError
from rl.core.weights import SharedMemWeightSyncScheme, WeightsError, WeightStrategy, apply_weights
from rl.core.weights.versioned import Weights


@pytest.fixture(params=["tensordict", "state_dict"])
def strategy(request):
    return WeightStrategy(request.param)


def test_everything_travels(strategy, counter):
    source, target = counter(3), counter(0)
    apply_weights(target, strategy.stamp(source, 1))
    assert torch.equal(target.one.weight, source.one.weight)
    assert target.two.weight is target.one.weight
    assert target.kept.tolist() == [3, 3]
    assert target.state["steps"] == 3
    assert target.state["values"][0].tolist() == [3, 3]
    # a state_dict has no buffers that are not persistent
    assert target.cache.tolist() == ([3] * 3 if strategy.extract_as == "tensordict" else [0] * 3)


def test_extraction_shares_memory_and_is_applied(strategy, counter):
    source, target = counter(3), counter(0)
    weights = strategy.extract_weights(source)
    with torch.no_grad():
        source.kept += 1
    strategy.apply_weights(target, weights)
    assert target.kept.tolist() == [4, 4]
    assert target.state["steps"] == 3
    assert strategy.extract_weights(None) is None


def test_forms():
    net = nn.Sequential(nn.Linear(2, 1))
    nested = WeightStrategy().extract_weights(net)
    assert nested["0", "weight"].data_ptr() == net[0].weight.data_ptr()
    assert set(WeightStrategy("state_dict").extract_weights(net)) == {"0.weight", "0.bias"}
    for form in (nested, TensorDict.from_module(net), TensorDictParams(nested.clone())):
        flat = WeightStrategy("state_dict").extract_weights(form)
        assert torch.equal(flat["0.weight"], net[0].weight)
    with pytest.raises(RLError, match="`module` is no form: pass 'tensordict' or 'state_dict'"):
        WeightStrategy("module")
    with pytest.raises(WeightsError, match="A dict holds no weights"):
        WeightStrategy().extract_weights({"a": 3})


def test_a_tensordict_takes_weights():
    net = nn.Linear(2, 1)
    strategy = WeightStrategy()
    target = strategy.extract_weights(net).clone().zero_()
    weight = target["weight"]
    strategy.apply_weights(target, net)
    assert target["weight"] is weight, "in place"
    assert torch.equal(weight, net.weight)
    strategy.apply_weights(target, net, inplace=False)
    assert target["weight"].data_ptr() == net.weight.data_ptr()
    with pytest.raises(WeightsError, match="partial: `bias` missing"):
        strategy.apply_weights(target, {"weight": net.weight})
    with pytest.raises(WeightsError, match="which optimisers and compiled code hold: leave it out"):
        strategy.apply_weights(net, target, inplace=False)


def test_tied_on_one_side_only_is_found(counter):
    source, target = counter(), counter()
    source.two.weight = nn.Parameter(torch.randn(2, 2))
    before = target.one.weight.clone()
    with pytest.raises(WeightsError, match=r"`one.weight` and `two.weight` are one tensor"):
        apply_weights(target, WeightStrategy().stamp(source, 0))
    assert torch.equal(target.one.weight, before)


def test_each_side_keeps_its_dtype():
    source, target = nn.Linear(2, 1), nn.Linear(2, 1).to(torch.bfloat16)
    parameter = target.weight
    apply_weights(target, WeightStrategy().stamp(source, 0))
    assert target.weight is parameter
    assert parameter.dtype is torch.bfloat16
    assert torch.equal(parameter, source.weight.to(torch.bfloat16))


def test_a_module_on_another_device_than_the_weights():
    target = nn.Linear(2, 1, device="meta")
    apply_weights(target, WeightStrategy().stamp(nn.Linear(2, 1), 0))
    assert target.weight.is_meta


def test_nested_tensordict_modules_and_compiled_policies():
    def policy():
        first = TensorDictModule(nn.Linear(2, 3), ["a"], ["b"])
        return TensorDictSequential(first, TensorDictModule(nn.BatchNorm1d(3), ["b"], [("c", "d")]))

    source, target = policy(), policy()
    compiled = torch.compile(target, backend="eager")
    data = TensorDict({"a": torch.randn(5, 2)}, [5])
    for module in (source, target):
        module.eval()
    compiled(data.clone())
    sender = SharedMemWeightSyncScheme(timeout_s=5.0)
    sender.init_on_sender(model=source, num_workers=1)
    receiver = sender.receiver()
    receiver.init_on_receiver(model=compiled, worker_idx=0)
    receiver.connect()
    assert torch.equal(compiled(data.clone())["c", "d"], source(data.clone())["c", "d"])
    with torch.no_grad():
        source[0].module.weight.add_(1)
    # and the other way: what is compiled sends
    sender.send_async(torch.compile(source, backend="eager"))
    receiver.receive()
    assert torch.equal(compiled(data.clone())["c", "d"], source(data.clone())["c", "d"])


def test_lazy_modules_and_what_cannot_be_sent(counter):
    with pytest.raises(WeightsError, match=r"the module is lazy\. Run it once"):
        WeightStrategy().stamp(nn.LazyLinear(2), 0)
    broken = counter()
    broken.state = {"f": print}
    with pytest.raises(WeightsError, match="extra state of the module cannot be sent"):
        WeightStrategy().stamp(broken, 0)
    without = nn.Module()
    for name in ("one", "two"):
        without.add_module(name, nn.Linear(2, 2, bias=False))
    without.two.weight = without.one.weight
    without.register_buffer("kept", torch.zeros(2))
    with pytest.raises(WeightsError, match="hold `_extra_state`, which the module lacks"):
        apply_weights(without, WeightStrategy("state_dict").stamp(counter(), 0))
    with pytest.raises(WeightsError, match="partial: `_extra_state` missing"):
        apply_weights(counter(), WeightStrategy("state_dict").stamp(without, 0))


def test_damage_in_the_extra_state_is_found(counter):
    weights = WeightStrategy().stamp(counter(3), 0)
    damaged = Weights(0, weights.checksum, weights.tensordict, weights.extra.replace("3", "4"))
    with pytest.raises(WeightsError, match="damaged"):
        apply_weights(counter(), damaged)
