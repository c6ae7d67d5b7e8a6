import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from rl.core.errors import RLError, ShapeError
from rl.core.modules import Mixer, QMixer, VDNMixer


@pytest.mark.parametrize("batch", [(), (5,), (5, 2)])
@pytest.mark.parametrize("state_shape", [(8,), (2, 4), ()])
def test_shapes(batch, state_shape):
    values, state = torch.randn(*batch, 3, 1), torch.randn((*batch, *state_shape))
    assert QMixer(state_shape, 16, 3)(values, state).shape == (*batch, 1)
    torch.testing.assert_close(VDNMixer(3)(values), values.sum(-2))


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**20),
    agent=st.integers(0, 3),
    step=st.floats(0.01, 10),
    spread=st.sampled_from([0.1, 1.0, 10.0]),
)
def test_qmix_never_falls_when_an_agent_gains(seed, agent, step, spread):
    """Rashid et al. 2018, equation 5: dQ / dQ_a >= 0, whatever the state and the weights."""
    torch.manual_seed(seed)
    mixer = QMixer((5,), 8, 4).double()
    for parameter in mixer.parameters():
        parameter.data.normal_(std=spread)
    values = torch.randn(16, 4, 1, dtype=torch.float64) * spread
    state = torch.randn(16, 5, dtype=torch.float64) * spread
    before = mixer(values, state)
    values[:, agent] += step
    assert (mixer(values, state) >= before).all()


def test_qmix_is_made_of_each_agents_best_action():
    """Of all joint actions the one of the agents' best actions is best (equation 4)."""
    mixer, tables = QMixer((5,), 8, 2), torch.randn(2, 4)
    state = torch.randn(5)
    joint = torch.cartesian_prod(*tables).unsqueeze(-1)
    mixed = mixer(joint, state.expand(16, 5)).squeeze(-1)
    assert mixed.argmax() == tables[0].argmax() * 4 + tables[1].argmax()


def test_qmix_by_hand():
    mixer, values, state = QMixer((2,), 3, 2), torch.randn(2, 1), torch.randn(2)
    w_1 = mixer.hyper_w_1(state).abs().reshape(2, 3)
    hidden = functional.elu(values.T @ w_1 + mixer.hyper_b_1(state))
    want = hidden @ mixer.hyper_w_final(state).abs().reshape(3, 1) + mixer.V(state)
    torch.testing.assert_close(mixer(values, state), want[0])


def test_the_state_decides_the_weights():
    mixer, values = QMixer((5,), 8, 3), torch.randn(1, 3, 1)
    assert mixer(values, torch.zeros(1, 5)) != mixer(values, torch.ones(1, 5))


def test_bad_input():
    with pytest.raises(RLError, match="one key of `in_keys` for each"):
        QMixer((5,), 8, 3)(torch.zeros(3, 1))
    with pytest.raises(ShapeError, match="chosen action's value of each agent"):
        VDNMixer(3)(torch.zeros(3))
    with pytest.raises(ShapeError, match="drop the dimension of agents"):
        QMixer((5,), 8, 3)(torch.zeros(2, 3, 1), torch.zeros(2, 3, 5))
    with pytest.raises(RLError, match="pass `state_shape=`"):
        Mixer(3, needs_state=True)
