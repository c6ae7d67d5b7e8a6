import math
from types import SimpleNamespace

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import InteractionType, TensorDictSequential, set_interaction_type
from torch import nn

from rl.core.errors import MissingKeyError, RLError, SpecError
from rl.core.modules import (
    Actor,
    AdditiveGaussianModule,
    AdditiveGaussianWrapper,
    EGreedyModule,
    EGreedyWrapper,
    ExplorationType,
    OrnsteinUhlenbeckProcessModule,
    OrnsteinUhlenbeckProcessWrapper,
    QValueActor,
    exploration_type,
    set_exploration_modules_spec_from_env,
    set_exploration_type,
)
from rl.core.specs import Bounded, Categorical, Composite, MultiCategorical, OneHot

BOX = Bounded(-1, 1, (2,))
QUIET = [ExplorationType.DETERMINISTIC, ExplorationType.MODE, ExplorationType.MEAN]
MAKERS = {
    "e-greedy": lambda **kw: EGreedyModule(BOX, annealing_num_steps=10, **kw),
    "gaussian": lambda **kw: AdditiveGaussianModule(BOX, annealing_num_steps=10, **kw),
    "ou": lambda **kw: OrnsteinUhlenbeckProcessModule(BOX, annealing_num_steps=10, **kw),
}
INTENSITY = {"e-greedy": "eps", "gaussian": "sigma", "ou": "eps"}


def box_data(num=5):
    return TensorDict(action=torch.zeros(num, 2), batch_size=[num])


def test_modes_are_tensordicts():
    assert ExplorationType is InteractionType
    with set_interaction_type(InteractionType.MODE):
        assert exploration_type() is ExplorationType.MODE
    with set_exploration_type(ExplorationType.RANDOM):
        assert exploration_type() is InteractionType.RANDOM


@pytest.mark.parametrize("name", MAKERS)
class TestEveryModule:
    @pytest.mark.parametrize("mode", QUIET)
    def test_acts_in_random_mode_only(self, name, mode):
        module = MAKERS[name]()
        with set_exploration_type(mode):
            td = module(box_data())
        assert set(td.keys()) == {"action"}
        assert not td["action"].any()
        with set_exploration_type(ExplorationType.RANDOM):
            assert module(box_data())["action"].any()

    def test_acts_where_no_mode_is_set(self, name):
        assert MAKERS[name]()(box_data())["action"].any()

    def test_anneals_linearly_to_the_end(self, name):
        module, intensity = MAKERS[name](), INTENSITY[name]
        module.step(5)
        # 1 - 5 * (1 - 0.1) / 10
        assert getattr(module, intensity).item() == pytest.approx(0.55)
        module.step(100)
        assert getattr(module, intensity).item() == pytest.approx(0.1)

    def test_state_resumes_exactly(self, name):
        module, other = MAKERS[name](), MAKERS[name]()
        module.step(3)
        other.load_state_dict(module.state_dict())
        results = []
        for subject in (module, other):
            torch.manual_seed(0)
            results.append(subject(box_data())["action"])
        assert torch.equal(*results)

    def test_dtype_and_key_are_kept(self, name):
        module = MAKERS[name](action_key=("g", "a"))
        td = TensorDict({"g": {"a": torch.zeros(5, 2, dtype=torch.float64)}}, [5])
        assert module(td)["g", "a"].dtype == torch.float64

    def test_missing_action(self, name):
        with pytest.raises(MissingKeyError, match="`action` is missing"):
            MAKERS[name]()(TensorDict(batch_size=[5]))

    def test_spec_without_the_key(self, name):
        with pytest.raises(SpecError, match="pass `action_key=`"):
            MAKERS[name](action_key="move").spec = Composite(action=BOX)

    def test_device_moves_buffers_and_spec(self, name):
        module = MAKERS[name](device="cpu")
        assert all(buffer.device.type == "cpu" for buffer in module.buffers())
        assert module.action_spec.device == torch.device("cpu")


@pytest.mark.parametrize("kind", [EGreedyModule, AdditiveGaussianModule])
def test_bad_schedules(kind):
    with pytest.raises(RLError, match="expected end <= init"):
        kind(BOX, 0.1, 0.5)
    with pytest.raises(RLError, match="expected at least 1"):
        kind(BOX, annealing_num_steps=0)


def test_spec_is_needed_at_call():
    for module in (EGreedyModule(None), AdditiveGaussianModule()):
        with pytest.raises(SpecError, match="set_exploration_modules_spec_from_env"):
            module(box_data())


def test_spec_from_env():
    given = AdditiveGaussianModule(Bounded(-9, 9, (2,)))
    policy = TensorDictSequential(Actor(nn.Linear(3, 2)), given, EGreedyModule(None))
    env = SimpleNamespace(full_action_spec=Composite(action=BOX))
    set_exploration_modules_spec_from_env(policy, env)
    assert given.action_spec == Bounded(-9, 9, (2,))
    assert policy[2].action_spec == BOX


class TestEGreedy:
    def test_share_of_random_actions(self):
        torch.manual_seed(0)
        module = EGreedyModule(Categorical(10), eps_init=0.3, eps_end=0.3)
        td = TensorDict(action=torch.full((20_000,), 3), batch_size=[20_000])
        # random actions hit 3 one time in ten
        changed = (module(td)["action"] != 3).float().mean().item()
        assert changed == pytest.approx(0.27, abs=0.01)

    @pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32])
    def test_one_hot_rows_stay_one_hot(self, dtype):
        action = torch.eye(4)[torch.zeros(50, dtype=torch.int64)].to(dtype)
        td = EGreedyModule(OneHot(4))(TensorDict(action=action, batch_size=[50]))
        assert td["action"].dtype == dtype
        assert (td["action"].long().sum(-1) == 1).all()

    @pytest.mark.parametrize("spec", [OneHot(4), OneHot(4, (50, 4))])
    def test_mask(self, spec):
        mask = torch.tensor([True, False, False, True]).expand(50, 4)
        action = torch.eye(4, dtype=torch.int64)[torch.zeros(50, dtype=torch.int64)]
        td = TensorDict(action=action, legal=mask, batch_size=[50])
        td = EGreedyModule(spec, action_mask_key="legal")(td)
        assert set(td["action"].argmax(-1).tolist()) == {0, 3}

    def test_mask_of_indices(self):
        mask = torch.tensor([True, False, False, True]).expand(50, 4)
        td = TensorDict(action=torch.zeros(50, dtype=torch.int64), legal=mask, batch_size=[50])
        td = EGreedyModule(Categorical(4), action_mask_key="legal")(td)
        assert set(td["action"].tolist()) == {0, 3}

    def test_mask_of_several_variables(self):
        mask = torch.tensor([True, False, False, True, True]).expand(50, 5)
        td = TensorDict(action=torch.zeros(50, 2, dtype=torch.int64), legal=mask, batch_size=[50])
        td = EGreedyModule(MultiCategorical([2, 3]), action_mask_key="legal")(td)
        assert set(td["action"][:, 0].tolist()) == {0}
        assert set(td["action"][:, 1].tolist()) == {1, 2}

    def test_mask_is_missing(self):
        td = TensorDict(action=torch.zeros(5, 4), batch_size=[5])
        with pytest.raises(MissingKeyError, match="drop `action_mask_key`"):
            EGreedyModule(OneHot(4), action_mask_key="legal")(td)

    def test_shape_that_does_not_fit(self):
        td = TensorDict(action=torch.zeros(5, 3), batch_size=[5])
        with pytest.raises(SpecError, match="pass the spec of one env"):
            EGreedyModule(OneHot(4))(td)

    def test_wrapper(self):
        policy = EGreedyWrapper(
            QValueActor(nn.Linear(3, 4), spec=OneHot(4)), annealing_num_steps=10
        )
        td = policy(TensorDict(observation=torch.zeros(5, 3), batch_size=[5]))
        assert td["action"].shape == (5, 4)
        policy.step(10)
        assert policy[1].eps.item() == pytest.approx(0.1)


class TestGaussian:
    def test_noise_has_mean_and_std(self):
        torch.manual_seed(0)
        module = AdditiveGaussianModule(
            BOX, sigma_init=0.5, sigma_end=0.5, mean=0.2, std=0.4, safe=False
        )
        action = module(box_data(20_000))["action"]
        assert action.mean().item() == pytest.approx(0.1, abs=0.005)
        assert action.std().item() == pytest.approx(0.2, abs=0.005)

    def test_safe_projects(self):
        module = AdditiveGaussianModule(BOX, sigma_init=50.0)
        assert module(box_data(100))["action"].abs().max() == 1

    def test_wrapper(self):
        policy = AdditiveGaussianWrapper(Actor(nn.Linear(3, 2), spec=BOX), annealing_num_steps=10)
        td = policy(TensorDict(observation=torch.zeros(5, 3), batch_size=[5]))
        assert td["action"].shape == (5, 2)
        policy.step(10)
        assert policy[1].sigma.item() == pytest.approx(0.1)


class TestOrnsteinUhlenbeck:
    def test_first_step_by_hand(self):
        module = OrnsteinUhlenbeckProcessModule(BOX, x0=0.5, mu=1.0, theta=0.1, sigma=0.3, dt=0.04)
        torch.manual_seed(0)
        td = module(box_data())
        torch.manual_seed(0)
        noise = torch.randn(5, 2)
        expected = 0.5 + 0.1 * 0.5 * 0.04 + 0.3 * 0.2 * noise
        torch.testing.assert_close(td["_ou_prev_noise"], expected)
        torch.testing.assert_close(td["action"], expected.clamp(-1, 1))
        assert td["_ou_steps"].tolist() == [1] * 5

    def test_state_goes_on_and_starts_again(self):
        module = OrnsteinUhlenbeckProcessModule(BOX, sigma=0.0, x0=1.0, theta=1.0, dt=0.5)
        td = box_data()
        for _ in range(2):
            td = module(td)
        # x <- x - x / 2
        torch.testing.assert_close(td["_ou_prev_noise"], torch.full((5, 2), 0.25))
        is_init = torch.tensor([True, False, False, False, False]).view(5, 1)
        td = module(td.set("is_init", is_init))
        torch.testing.assert_close(td["_ou_prev_noise"][:2], torch.tensor([[0.5] * 2, [0.125] * 2]))
        assert td["_ou_steps"].tolist() == [1, 3, 3, 3, 3]

    def test_volatility_decreases_along_the_trajectory(self):
        module = OrnsteinUhlenbeckProcessModule(
            BOX, theta=0.0, sigma=1.0, sigma_min=0.0, n_steps_annealing=2, dt=1.0
        )
        td = box_data()
        steps = [module(td)["_ou_prev_noise"].clone() for _ in range(4)]
        assert not torch.equal(steps[0], steps[1])
        assert torch.equal(steps[2], steps[3])

    def test_eps_scales_the_noise(self):
        module = OrnsteinUhlenbeckProcessModule(BOX, annealing_num_steps=10)
        module.step(10)
        td = module(box_data())
        torch.testing.assert_close(td["action"], 0.1 * td["_ou_prev_noise"])

    def test_stationary_spread(self):
        torch.manual_seed(0)
        module = OrnsteinUhlenbeckProcessModule(BOX, theta=1.0, sigma=1.0, dt=0.1, safe=False)
        td = box_data(2000)
        for _ in range(80):
            td["action"] = torch.zeros(2000, 2)
            td = module(td)
        # AR(1) with a = 0.9 and innovation variance 0.1: 0.1 / (1 - 0.81)
        expected = math.sqrt(0.1 / 0.19)
        assert td["action"].std().item() == pytest.approx(expected, rel=0.05)

    def test_nested_key(self):
        module = OrnsteinUhlenbeckProcessModule(BOX, action_key=("g", "a"))
        assert module.out_keys == [("g", "a"), ("g", "_ou_prev_noise"), ("g", "_ou_steps")]

    def test_wrapper(self):
        actor = Actor(nn.Linear(3, 2), spec=BOX)
        policy = OrnsteinUhlenbeckProcessWrapper(actor, annealing_num_steps=10)
        td = policy(TensorDict(observation=torch.zeros(5, 3), batch_size=[5]))
        assert td["_ou_steps"].tolist() == [1] * 5
        policy.step(10)
        assert policy[1].eps.item() == pytest.approx(0.1)
