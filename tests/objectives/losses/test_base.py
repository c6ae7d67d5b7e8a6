"""LossModule: names, calls, masks, coefficients, estimators, updaters."""

import pytest
import torch
from tensordict.nn import InteractionType

from rl.core.errors import MissingKeyError, NotRegisteredError
from rl.objectives import DQNLoss, SoftUpdate
from rl.objectives.value import GAE, TD0Estimator, TDLambdaEstimator, ValueEstimators


def mode_number(mode):
    return torch.tensor(list(InteractionType).index(mode))


# ----------------------------------------------------------------- calls and names


def test_forward_runs_in_the_sampling_mode(square_loss, net, data):
    loss = square_loss(net)
    assert loss(data)["mode"] == mode_number(InteractionType.DETERMINISTIC)
    loss.deterministic_sampling_mode = InteractionType.RANDOM
    assert loss(data)["mode"] == mode_number(InteractionType.RANDOM)


def test_keyword_call_returns_a_tuple(square_loss, net, data):
    loss = square_loss(net)
    value, mode = loss(x=data["x"], target=data["target"])
    torch.testing.assert_close(value, loss(data)["loss"])
    assert mode == mode_number(InteractionType.DETERMINISTIC)
    loss.select_out_keys("loss")
    assert loss(x=data["x"], target=data["target"]).shape == ()
    assert list(loss(data).keys()) == ["loss"]
    loss.reset_out_keys()
    assert loss.out_keys == ["loss", "mode"]


def test_select_unknown_out_key(square_loss, net):
    with pytest.raises(ValueError, match="Did you mean `loss`"):
        square_loss(net).select_out_keys("los")


def test_set_keys(square_loss, net, data):
    loss = square_loss(net)
    expected = loss(data)["loss"]
    loss.set_keys(target=("nested", "aim"))
    assert loss.tensor_keys.target == ("nested", "aim")
    assert loss.in_keys == ["x", ("nested", "aim")]
    data["nested", "aim"] = data.pop("target")
    torch.testing.assert_close(loss(data)["loss"], expected)
    loss.set_keys(target=None)
    assert loss.tensor_keys.target == "target"


def test_set_unknown_key(square_loss, net):
    with pytest.raises(
        ValueError,
        match=r"`targe` is no key of SquareLoss.*Did you mean `target`.*accepts: `target`",
    ):
        square_loss(net).set_keys(targe="x")


def test_keys_are_read_only(square_loss, net):
    with pytest.raises(AttributeError):
        square_loss(net).tensor_keys.target = "x"


def test_output_has_no_batch_dimension(square_loss, net, data):
    assert square_loss(net, reduction="none")(data).batch_size == ()


# ------------------------------------------------------------------------- masks


def test_mask_is_found(square_loss, net, data):
    full = square_loss(net)(data[:3])["loss"]
    data["collector", "mask"] = torch.tensor([True, True, True, False, True])
    data["shifted_valid"] = torch.tensor([True, True, True, True, False]).unsqueeze(-1)
    data["x"][3:] = float("nan")
    torch.testing.assert_close(square_loss(net)(data)["loss"], full)
    assert square_loss(net, loss_mask_key=None)(data)["loss"].isnan()


def test_mask_by_name(square_loss, net, data):
    loss = square_loss(net, loss_mask_key="valid")
    with pytest.raises(MissingKeyError, match="`loss_mask_key` names it"):
        loss(data)
    data["valid"] = torch.tensor([True, False, False, False, False])
    torch.testing.assert_close(loss(data)["loss"], square_loss(net)(data[:1])["loss"])


# ----------------------------------------------------------------- coefficients


def test_assigning_a_coefficient_writes_in_place(square_loss, net, data):
    loss = square_loss(net)
    buffer, before = loss.scale, loss(data)["loss"]
    loss.scale = 3.0
    assert loss.scale is buffer
    torch.testing.assert_close(loss(data)["loss"], 3 * before)


# ------------------------------------------------------------------ value estimator


def test_default_estimator(qactor):
    loss = DQNLoss(qactor)
    assert isinstance(loss.value_estimator, TD0Estimator)
    assert loss.value_estimator.gamma == 0.99
    assert DQNLoss(qactor, gamma=0.5).value_estimator.gamma == 0.5


@pytest.mark.parametrize(
    "value_type", [ValueEstimators.TDLambda, "TDLambda", "tdlambda", TDLambdaEstimator]
)
def test_make_value_estimator(qactor, value_type):
    loss = DQNLoss(qactor)
    assert loss.make_value_estimator(value_type, gamma=0.7, lmbda=0.8) is loss
    assert isinstance(loss.value_estimator, TDLambdaEstimator)
    assert (loss.value_estimator.gamma, loss.value_estimator.lmbda) == (0.7, 0.8)
    assert loss.value_type == value_type


def test_make_value_estimator_from_an_instance(qactor):
    estimator = TD0Estimator(gamma=0.3, value_network=None)
    assert DQNLoss(qactor).make_value_estimator(estimator).value_estimator is estimator


def test_new_gamma_keeps_the_default_type(qactor):
    loss = DQNLoss(qactor).make_value_estimator(gamma=0.3)
    assert isinstance(loss.value_estimator, TD0Estimator)
    assert loss.value_estimator.gamma == 0.3


def test_unknown_estimator(qactor):
    with pytest.raises(NotRegisteredError, match="Did you mean `TD0`"):
        DQNLoss(qactor).make_value_estimator("TD00")


def test_estimator_follows_the_names_of_the_loss(qactor):
    loss = DQNLoss(qactor)
    loss.set_keys(reward=("agents", "reward"))
    assert loss.value_estimator.tensor_keys.reward == ("agents", "reward")
    loss.make_value_estimator("TD0", gamma=0.1)
    assert loss.value_estimator.tensor_keys.reward == ("agents", "reward")


def test_estimator_is_not_saved(qactor):
    loss = DQNLoss(qactor)
    loss.make_value_estimator(GAE(gamma=torch.tensor(0.9), lmbda=0.9, value_network=qactor))
    names = [name.split(".")[0] for name in loss.state_dict()]
    assert set(names) == {"value_network_params", "target_value_network_params"}


def test_gamma_buffer_moves_with_the_loss(qactor):
    loss = DQNLoss(qactor).make_value_estimator("TD0", gamma=torch.tensor(0.9))
    loss.double()
    assert loss.value_estimator.gamma.dtype is torch.float64


# ----------------------------------------------------------------- target updater


def test_a_loss_with_targets_and_no_updater_warns_once(qactor, discrete_batch):
    loss = DQNLoss(qactor, delay_value=True)
    with pytest.warns(UserWarning, match=r"build `SoftUpdate\(loss, tau=0.005\)`"):
        loss(discrete_batch)
    loss(discrete_batch)  # warnings are errors here


def test_no_warning_with_an_updater_or_in_evaluation(qactor, discrete_batch):
    loss = DQNLoss(qactor, delay_value=True)
    with torch.no_grad():
        loss(discrete_batch)
    loss.eval()(discrete_batch)
    loss.train()
    SoftUpdate(loss, tau=0.1)
    assert loss(discrete_batch)["loss"].requires_grad  # warnings are errors here


def test_opting_out_of_the_updater(qactor, discrete_batch):
    loss = DQNLoss(qactor, delay_value=True)
    loss.target_updater_required = False
    assert loss(discrete_batch)["loss"].requires_grad  # warnings are errors here
