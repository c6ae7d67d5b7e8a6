import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torch import nn

from rl.core.errors import MissingKeyError, RLError, ShapeError, SpecError
from rl.core.modules import (
    QValueActor,
    QValueHook,
    QValueModule,
    action_space_of,
    greedy,
    value_of,
)
from rl.core.specs import (
    Binary,
    Bounded,
    Categorical,
    Composite,
    MultiCategorical,
    MultiOneHot,
    OneHot,
)

VALUES = torch.tensor([[0.0, 3.0, 2.0, 1.0], [-7.0, -5.0, -4.0, -6.0]])


def data(**extra):
    return TensorDict(action_value=VALUES.clone(), **extra, batch_size=[2])


@pytest.mark.parametrize(
    ("space", "action", "chosen"),
    [
        ("one_hot", [[0, 1, 0, 0], [0, 0, 1, 0]], [3.0, -4.0]),
        ("categorical", [1, 2], [3.0, -4.0]),
        ("mult_one_hot", [[0, 1, 1, 0], [0, 1, 1, 0]], [5.0, -9.0]),
        ("multi_categorical", [[1, 0], [1, 0]], [5.0, -9.0]),
        ("binary", [[0, 1, 1, 1], [0, 0, 0, 0]], [6.0, 0.0]),
    ],
)
def test_greedy_choice_by_hand(space, action, chosen):
    td = QValueModule(action_space=space, var_nums=[2, 2])(data())
    assert td["action"].tolist() == action
    assert td["action"].dtype == torch.int64
    assert td["chosen_action_value"].flatten().tolist() == chosen
    var_nums = [2, 2] if space.startswith("mult") else None
    again = value_of(VALUES, td["action"], space, var_nums)
    assert torch.equal(again, td["chosen_action_value"])


@pytest.mark.parametrize(
    ("spec", "space"),
    [
        (OneHot(4), "one_hot"),
        (Categorical(4), "categorical"),
        (MultiOneHot([2, 2]), "mult_one_hot"),
        (MultiCategorical([2, 2]), "multi_categorical"),
        (Binary(4), "binary"),
        (Composite(action=OneHot(4)), "one_hot"),
    ],
)
def test_space_is_taken_from_the_spec(spec, space):
    choose = QValueModule(spec=spec)
    assert choose.action_space == space
    td = choose(data())
    assert torch.equal(td["action"], greedy(VALUES, space, [2, 2])[0])
    assert choose.spec["action"] is not None


def test_mask():
    mask = torch.tensor([[True, False, False, True], [True, False, False, False]])
    choose = QValueModule(spec=OneHot(4), action_mask_key="legal")
    td = choose(data(legal=mask))
    assert td["action"].tolist() == [[0, 0, 0, 1], [1, 0, 0, 0]]
    assert td["chosen_action_value"].flatten().tolist() == [1.0, -7.0]
    assert (td["action_value"][~mask] == torch.finfo(torch.float32).min).all()


def test_tensors_instead_of_a_tensordict():
    action, values, chosen = QValueModule("one_hot")(action_value=VALUES)
    assert (action.shape, values.shape, chosen.shape) == ((2, 4), (2, 4), (2, 1))


def test_actor_keys():
    actor = QValueActor(
        nn.Linear(3, 4),
        in_keys=["obs"],
        spec=Categorical(4),
        action_value_key=("g", "q"),
        action_key=("g", "action"),
        chosen_action_value_key=("g", "best"),
    )
    td = actor(TensorDict(obs=torch.zeros(5, 3), batch_size=[5]))
    assert td["g", "action"].shape == (5,)
    assert td["g", "best"].shape == (5, 1)
    assert actor.spec["g", "action"] == Categorical(4)


def test_actor_over_a_tensordict_module():
    net = TensorDictModule(nn.Linear(3, 4), ["observation"], ["action_value"])
    actor = QValueActor(net, spec=OneHot(4))
    assert actor.in_keys == ["observation"]
    other = TensorDictModule(nn.Linear(3, 4), ["observation"], ["q"])
    with pytest.raises(MissingKeyError, match="pass `action_value_key=`"):
        QValueActor(other, spec=OneHot(4))


def test_vmap_over_parameters():
    choose = QValueModule("one_hot")
    values = torch.stack([VALUES, -VALUES])
    out = torch.vmap(lambda v: choose(action_value=v)[0])(values)
    assert out.argmax(-1).tolist() == [[1, 2], [0, 0]]


def test_hook():
    net = nn.Linear(3, 4)
    net.register_forward_hook(QValueHook("one_hot"))
    action, values, chosen = net(torch.randn(5, 3))
    assert torch.equal((action * values).sum(-1, keepdim=True), chosen)


def test_bad_input():
    with pytest.raises(RLError, match=r"Did you mean `one_hot`\?"):
        QValueModule("onehot")
    with pytest.raises(RLError, match="pass the env's action spec"):
        QValueModule()
    with pytest.raises(RLError, match="is not a discrete action spec"):
        QValueModule(spec=Bounded(-1, 1, (2,)))
    with pytest.raises(ShapeError, match=r"pass `var_nums="):
        QValueModule("mult_one_hot")
    with pytest.raises(RLError, match="expected one action"):
        action_space_of(None, Composite(a=OneHot(2), b=OneHot(3)))
    with pytest.raises(SpecError, match="give the network as many outputs"):
        QValueModule(spec=OneHot(5))(data())
    with pytest.raises(SpecError, match="give the network 5 outputs"):
        QValueModule(spec=Categorical(5))(data())
    with pytest.raises(MissingKeyError, match="`action_value` is missing"):
        QValueModule("one_hot")(TensorDict(batch_size=[2]))
    with pytest.raises(MissingKeyError, match="`legal` is missing"):
        QValueModule("one_hot", action_mask_key="legal")(data())
    with pytest.raises(RLError, match="use `QValueModule`"):
        QValueHook("one_hot", action_mask_key="legal")
