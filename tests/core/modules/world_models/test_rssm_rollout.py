import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict
from tensordict.nn import TensorDictModule, TensorDictSequential

from rl.core.errors import MissingKeyError, RLError, ShapeError
from rl.core.modules import (
    RSSMPosterior,
    RSSMPosteriorV3,
    RSSMPrior,
    RSSMPriorV3,
    RSSMRollout,
    RSSMRolloutV3,
)
from rl.core.specs import Bounded

STATE, BELIEF, EMBED = 6, 8, 4


def gaussian():
    """Modules whose draws are made of noise in the data, so that loops agree."""
    prior = TensorDictModule(
        RSSMPrior(Bounded(-1, 1, (2,)), 5, BELIEF, STATE),
        ["state", "belief", "action", "prior_noise"],
        [("next", "prior_mean"), ("next", "prior_std"), "_", ("next", "belief")],
    )
    posterior = TensorDictModule(
        RSSMPosterior(5, STATE),
        [("next", "belief"), ("next", "encoded_latents"), "posterior_noise"],
        [("next", "posterior_mean"), ("next", "posterior_std"), ("next", "state")],
    )
    return prior, posterior


def categorical():
    prior = TensorDictModule(
        RSSMPriorV3(None, 5, BELIEF, 2, 3, action_shape=(2,)),
        ["state", "belief", "action"],
        [("next", "prior_logits"), "_", ("next", "belief")],
    )
    posterior = TensorDictModule(
        RSSMPosteriorV3(5, 2, 3),
        [("next", "belief"), ("next", "encoded_latents")],
        [("next", "posterior_logits"), ("next", "state")],
    )
    return prior, posterior


def sequence(*batch):
    return TensorDict(
        state=torch.randn(*batch, STATE),
        belief=torch.randn(*batch, BELIEF),
        action=torch.randn(*batch, 2),
        prior_noise=torch.randn(*batch, STATE),
        posterior_noise=torch.randn(*batch, STATE),
        is_init=torch.zeros(*batch, 1, dtype=torch.bool),
        other=torch.randn(batch),
        next=TensorDict(encoded_latents=torch.randn(*batch, EMBED), batch_size=batch),
        batch_size=batch,
    )


def loop(prior, posterior, data):
    """One time after the other, an episode's first step with nothing before it."""
    steps, following = [], None
    for step in data.unbind(-1):
        step = step.clone()
        if following is not None:
            step["state"], step["belief"] = following["state"], following["belief"]
        for key in ("state", "belief", "action"):
            step[key] = torch.where(step["is_init"], 0.0, step[key])
        following = posterior(prior(step))["next"]
        steps.append(step)
    return torch.stack(steps, data.batch_dims - 1)


@pytest.mark.parametrize("kwargs", [{}, {"use_scan": True}], ids=str)
@pytest.mark.parametrize("batch", [(4,), (3, 4), (2, 3, 4), (1,)])
def test_equals_the_loop(kwargs, batch):
    prior, posterior = gaussian()
    data = sequence(*batch)
    before = data.clone()
    out = RSSMRollout(prior, posterior, **kwargs)(data)
    expected = loop(prior, posterior, data)
    assert set(out.keys(True, True)) == set(expected.keys(True, True))
    for key, value in expected.items(True, True):
        torch.testing.assert_close(out[key], value)
    assert set(data.keys(True)) == set(before.keys(True))
    assert (data == before).all()


@settings(deadline=None, max_examples=15)
@given(st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=2, max_size=2))
def test_v3_equals_the_loop_for_any_resets(marks):
    prior, posterior = gaussian()
    data = sequence(2, 5)
    data["is_init"] = torch.tensor(marks).unsqueeze(-1)
    rollout = RSSMRolloutV3(prior, posterior, action_key="action")
    out, before = rollout(data), data.clone()
    for key, value in loop(prior, posterior, data).items(True, True):
        torch.testing.assert_close(out[key], value)
    assert (data == before).all()


def test_v3_episodes_do_not_touch():
    """An episode in a sequence gives what it gives alone, whatever comes before."""
    prior, posterior = gaussian()
    rollout = RSSMRolloutV3(prior, posterior, action_key="action")
    data = sequence(2, 6)
    data["is_init"][:, 2] = True
    data["state"][:, :2] = torch.nan
    alone = rollout(data[:, 2:])
    torch.testing.assert_close(rollout(data)["next", "state"][:, 2:], alone["next", "state"])
    without = RSSMRolloutV3(prior, posterior, reset_key=None, action_key="action")
    assert without(data)["next", "state"].isnan().all()


def test_v3_with_categorical_modules():
    torch.manual_seed(0)
    rollout = RSSMRolloutV3(*categorical())
    assert rollout.action_key == "action"
    data = sequence(2, 5)
    data["is_init"][:, 3] = True
    out = rollout(data)
    assert out["next", "prior_logits"].shape == (2, 5, 2, 3)
    assert (out["next", "state"].unflatten(-1, (2, 3)).sum(-1) == 1).all()
    assert (out["belief"][:, 3] == 0).all()
    torch.testing.assert_close(out["belief"][:, 1], out["next", "belief"][:, 0])
    # marks without the last dimension mean the same
    torch.manual_seed(1)
    first = rollout(data)
    torch.manual_seed(1)
    second = rollout(data.set("is_init", data["is_init"].squeeze(-1)))
    assert torch.equal(first["next", "state"], second["next", "state"])


def test_keys_without_next():
    """A prior that overwrites what it read hands that on."""
    prior, posterior = gaussian()
    flat_prior = TensorDictModule(prior.module, prior.in_keys, ["m", "s", "_", "belief"])
    flat_posterior = TensorDictModule(
        posterior.module,
        ["belief", ("next", "encoded_latents"), "posterior_noise"],
        ["pm", "ps", "state"],
    )
    data = sequence(2, 5)
    flat = RSSMRollout(flat_prior, flat_posterior)(data)
    nested = RSSMRollout(prior, posterior)(data)
    torch.testing.assert_close(flat["state"], nested["next", "state"])


def test_keys_and_gradients():
    rollout = RSSMRollout(*gaussian())
    assert set(rollout.in_keys) == {
        "state", "belief", "action", "prior_noise", "posterior_noise", ("next", "encoded_latents")
    }  # fmt: skip
    assert ("next", "posterior_std") in rollout.out_keys
    data = sequence(2, 5)
    data["state"].requires_grad_()
    rollout(data)["next", "state"][:, -1].sum().backward()
    assert data["state"].grad[:, 0].abs().sum() > 0
    assert (data["state"].grad[:, 1:] == 0).all()


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # by the compiler
def test_compiled_step():
    prior, posterior = gaussian()
    data = sequence(2, 3)
    compiled = RSSMRollout(prior, posterior, compile_step=True, compile_backend="eager")
    expected = RSSMRollout(prior, posterior)(data)["next", "state"]
    torch.testing.assert_close(compiled(data)["next", "state"], expected)


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # by the compiler
@pytest.mark.parametrize("kind", [RSSMRollout, RSSMRolloutV3])
def test_compiled_whole(kind):
    prior, posterior = gaussian()
    kwargs = {"use_scan": True} if kind is RSSMRollout else {"action_key": "action"}
    rollout, data = kind(prior, posterior, **kwargs), sequence(2, 3)
    expected = rollout(data)["next", "state"]
    compiled = torch.compile(rollout, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(data)["next", "state"], expected)


def test_bad_input():
    prior, posterior = gaussian()
    with pytest.raises(RLError, match="nothing goes from one step"):
        RSSMRollout(
            TensorDictModule(prior.module, prior.in_keys, ["a", "b", "c", "d"]),
            TensorDictModule(posterior.module, ["d", "e"], ["f", "g", "h"]),
        )
    with pytest.raises(RLError, match="leave `use_scan` out"):
        RSSMRollout(TensorDictSequential(prior), posterior, use_scan=True)
    with pytest.raises(ShapeError, match="SliceSampler"):
        RSSMRollout(prior, posterior)(sequence())
    with pytest.raises(MissingKeyError, match="TensorDictPrimer"):
        RSSMRollout(prior, posterior)(sequence(3).exclude("belief"))
    v3 = RSSMRolloutV3(prior, posterior, action_key="action")
    with pytest.raises(MissingKeyError, match="InitTracker"):
        v3(sequence(3).exclude("is_init"))
    with pytest.raises(ShapeError, match="one mark for each step"):
        v3(sequence(2, 3).set("is_init", torch.zeros(2, 3, 2, dtype=torch.bool)))
    with pytest.raises(RLError, match=r"call `\.bool\(\)`"):
        v3(sequence(2, 3).set("is_init", torch.zeros(2, 3, 1)))
    with pytest.raises(RLError, match="pass `action_key=`"):
        RSSMRolloutV3(prior, posterior)
    with pytest.raises(RLError, match="pass `action_key=`"):
        RSSMRolloutV3(prior, posterior, action_key="act")
