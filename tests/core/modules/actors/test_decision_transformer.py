import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import InteractionType, TensorDictModule

from rl.core.distributions import TanhDelta
from rl.core.errors import MissingKeyError, RLError, ShapeError, SpecError
from rl.core.modules import (
    DecisionTransformerInferenceWrapper,
    DTActor,
    ProbabilisticActor,
)
from rl.core.specs import Bounded

KEYS = ["observation", "action", "return_to_go"]


def data(*batch, steps=5):
    def count(size):
        return torch.arange(1.0, 1 + steps * size).reshape(steps, size).expand(*batch, steps, size)

    return TensorDict(
        observation=count(2), action=count(3), return_to_go=count(1), batch_size=batch
    )


def recording(seen):
    def policy(observation, action, return_to_go):
        seen.append((observation, action, return_to_go))
        return torch.ones_like(action).cumsum(-2)

    return TensorDictModule(policy, KEYS, ["action"])


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_what_the_policy_sees(batch):
    seen, td = [], data(*batch)
    out = DecisionTransformerInferenceWrapper(recording(seen), inference_context=2)(td)
    observation, action, return_to_go = (x.reshape(-1, *x.shape[-2:])[0].tolist() for x in seen[0])
    assert observation == [[0, 0]] * 3 + [[7, 8], [9, 10]]
    # one place forward: the last is the one to choose
    assert action == [[0, 0, 0]] * 3 + [[13, 14, 15], [0, 0, 0]]
    assert return_to_go == [[0]] * 3 + [[4], [5]]
    assert out["action"].eq(5).all()
    assert out["action"].shape == (*batch, 3)
    assert out["return_to_go"].shape == (*batch, 1)
    assert torch.equal(out["observation"], td["observation"])


def test_the_input_stays_as_it_is():
    td = data(2)
    before = td.clone()
    DecisionTransformerInferenceWrapper(recording([]))(td)
    assert (td == before).all()


def test_the_context_is_all_that_counts():
    torch.manual_seed(0)
    net = DTActor(2, 3, {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_inner": 32}).eval()
    actor = ProbabilisticActor(
        TensorDictModule(net, KEYS, ["param"]),
        in_keys=["param"],
        distribution_class=TanhDelta,
        default_interaction_type=InteractionType.DETERMINISTIC,
    )
    act = DecisionTransformerInferenceWrapper(actor, inference_context=3)
    assert act.out_keys == [*KEYS, "param"]
    td = data(2)
    out = act(td)
    assert out["param"].shape == (2, 5, 3)
    td = td.clone()
    td["observation"][:, :2] = 100.0
    td["action"][:, :3] = 100.0
    assert torch.equal(act(td)["action"], out["action"])
    td["observation"][:, 2] = 100.0
    assert not torch.equal(act(td)["action"], out["action"])


def test_other_keys():
    policy = TensorDictModule(lambda o, a, r: a, ["obs", ("x", "a"), "rtg"], [("x", "a")])
    act = DecisionTransformerInferenceWrapper(policy, inference_context=2)
    act.set_tensor_keys(observation="obs", action=("x", "a"), return_to_go="rtg")
    assert act.in_keys == act.out_keys == ["obs", ("x", "a"), "rtg"]
    td = data(2).rename_key_("observation", "obs").rename_key_("return_to_go", "rtg")
    td.rename_key_("action", ("x", "a"))
    assert act(td)["x", "a"].shape == (2, 3)


def test_bad_input():
    act = DecisionTransformerInferenceWrapper(recording([]), spec=Bounded(-1.0, 1.0, (4,)))
    with pytest.raises(SpecError, match="expects"):
        act(data(2))
    act = DecisionTransformerInferenceWrapper(recording([]))
    with pytest.raises(MissingKeyError, match="`return_to_go` is missing"):
        act(data(2).exclude("return_to_go"))
    with pytest.raises(ShapeError, match="stack the same number of steps"):
        act(data(2).set("action", torch.zeros(2, 4, 3)))
    with pytest.raises(RLError, match="Did you mean `action`"):
        act.set_tensor_keys(actoin="a")
    with pytest.raises(RLError, match="expected at least 1"):
        DecisionTransformerInferenceWrapper(recording([]), inference_context=0)
