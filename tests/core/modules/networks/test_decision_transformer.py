import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.core.errors import RLError, ShapeError
from rl.core.modules import DecisionTransformer, DTActor, DTConfig, OnlineDTActor

SMALL = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_inner": 32}
STEPS = 6


def sequences(*batch, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*batch, STEPS, size, generator=generator) for size in (4, 2, 1)]


@pytest.mark.parametrize("batch", [(), (3,), (3, 2)])
def test_shapes(batch):
    given = sequences(*batch)
    assert DecisionTransformer(4, 2, SMALL)(*given).shape == (*batch, STEPS, 16)
    assert DTActor(4, 2, SMALL)(*given).shape == (*batch, STEPS, 2)
    loc, scale = OnlineDTActor(4, 2, DTConfig(**SMALL))(*given)
    assert loc.shape == scale.shape == (*batch, STEPS, 2)


@settings(deadline=None, max_examples=25)
@given(step=st.integers(0, STEPS - 1), which=st.integers(0, 2), seed=st.integers(0, 1000))
def test_the_future_changes_nothing(step, which, seed):
    """A state or return changes outputs from its step on, an action those after its step."""
    torch.manual_seed(seed)
    net, given = DecisionTransformer(4, 2, SMALL).eval(), sequences(seed=seed)
    before = net(*given)
    given[which] = given[which].clone()
    given[which][step] += 1
    changed = (net(*given) != before).any(-1)
    first = step + 1 if which == 1 else step
    assert not changed[:first].any()
    assert changed[first:].all()


def test_gradients_reach_every_parameter():
    net = OnlineDTActor(4, 2, SMALL)
    loc, scale = net(*sequences(3))
    (loc.sum() + scale.sum()).backward()
    assert [n for n, p in net.named_parameters() if p.grad is None] == []


def test_positions_tell_equal_steps_apart():
    net = DecisionTransformer(4, 2, SMALL).eval()
    out = net(torch.ones(3, 4), torch.ones(3, 2), torch.ones(3, 1))
    assert not torch.allclose(out[1], out[2])


def test_log_scale_stays_in_its_range():
    actor = OnlineDTActor(4, 2, SMALL)
    for bias in (-100.0, 100.0):
        torch.nn.init.constant_(actor.action_layer_logstd.bias, bias)
        _, scale = actor(*sequences())
        want = torch.tensor(-5.0 if bias < 0 else 2.0).exp().expand_as(scale)
        torch.testing.assert_close(scale, want)


def test_defaults():
    assert DecisionTransformer.default_config() == DTConfig(256, 4, 4, 1024, "relu", 1024, 0.1, 0.1)
    assert DecisionTransformer.DTConfig is DTConfig
    assert DTActor.default_config() == OnlineDTActor.default_config() == DTConfig(512, 4, 4, 2048)


def test_bad_input():
    net = DecisionTransformer(4, 2, {**SMALL, "n_positions": 5})
    obs, action, rtg = sequences(3)
    with pytest.raises(ShapeError, match="`n_positions=6`"):
        net(obs, action, rtg)
    with pytest.raises(ShapeError, match="stack the same steps of each"):
        net(obs, action[:, 1:], rtg)
    with pytest.raises(ShapeError, match=r"\[\*B, T, 4\], \[\*B, T, 2\]"):
        net(action, obs, rtg)
    with pytest.raises(RLError, match=r"'n_embed'.*expected some of.*n_embd"):
        DecisionTransformer(4, 2, {"n_embed": 16})
