import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import MissingKeyError, RLError, SpecError
from rl.core.modules import (
    AdditiveGaussianModule,
    EGreedyModule,
    ExplorationType,
    OrnsteinUhlenbeckProcessModule,
    set_exploration_type,
)
from rl.core.specs import Bounded, Composite

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
