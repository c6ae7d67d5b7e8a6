import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule, TensorDictModuleBase

from rl.core.errors import MissingKeyError, RLError
from rl.core.modules import WorldModel

ENCODER = TensorDictModule(lambda obs: obs * 2, ["observation"], ["latent"])
DYNAMICS = TensorDictModule(lambda z, a: z + a, ["latent", "action"], [("next", "latent")])
REWARD = TensorDictModule(
    lambda z: z.sum(-1, keepdim=True), [("next", "latent")], [("next", "reward")]
)
DONE = TensorDictModule(lambda r: r > 4, [("next", "reward")], [("next", "terminated")])
DECODER = TensorDictModule(lambda z: z / 2, [("next", "latent")], [("next", "observation")])
PLUS_ONE = TensorDictModule(lambda z: torch.ones_like(z), ["latent"], ["action"])


def data(*batch):
    return TensorDict(
        observation=torch.zeros(*batch, 2), action=torch.ones(*batch, 2), batch_size=batch
    )


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_forward(batch):
    model = WorldModel(ENCODER, DYNAMICS, REWARD, done_head=DONE, decoder=DECODER)
    assert model.in_keys == ["observation", "action"]
    out = model(data(*batch).set("observation", torch.full((*batch, 2), 3.0)))
    assert (out["next", "reward"] == 14).all()  # 2 * (2 * 3 + 1)
    assert (out["next", "observation"] == 3.5).all()
    assert out["next", "terminated"].shape == (*batch, 1)
    assert set(model.out_keys) <= set(out.keys(True))


def test_parts():
    model = WorldModel(ENCODER, DYNAMICS, REWARD)
    td = model.encode(data(3))
    assert "next" not in td
    assert (model.predict(td)["next", "reward"] == 2).all()
    assert (model.step(td)["next", "reward"] == 2).all()
    with pytest.raises(RLError, match="pass `decoder=`"):
        model.decode(td)


@pytest.mark.parametrize("batch", [(), (3,)])
def test_rollout(batch):
    model = WorldModel(ENCODER, DYNAMICS, REWARD, done_head=DONE)
    start = data(*batch).exclude("action")
    out = model.rollout(start, PLUS_ONE, max_steps=4)
    assert out.batch_size == (*batch, 4)
    assert out.names[-1] == "time"
    assert set(start.keys()) == {"observation"}
    # the latent grows by one in both numbers
    assert out["latent"][..., 0].expand(3, 4).tolist() == [[0, 1, 2, 3]] * 3
    assert out["next", "reward"].squeeze(-1).expand(3, 4).tolist() == [[2, 4, 6, 8]] * 3
    assert out["next", "terminated"].squeeze(-1).expand(3, 4)[0].tolist() == [
        False, False, True, True
    ]  # fmt: skip


def test_rollout_from_a_latent_does_not_encode():
    class Refuses(TensorDictModuleBase):
        in_keys, out_keys = ["observation"], ["latent"]

        def forward(self, td):
            raise AssertionError

    model = WorldModel(Refuses(), DYNAMICS, REWARD)
    start = TensorDict(latent=torch.zeros(3, 2), batch_size=[3])
    assert model.rollout(start, PLUS_ONE, max_steps=2)["next", "latent"].shape == (3, 2, 2)


def test_gradients_pass_through_time():
    model = WorldModel(ENCODER, DYNAMICS, REWARD)
    start = TensorDict(latent=torch.zeros(2, requires_grad=True))
    model.rollout(start, PLUS_ONE, max_steps=3)["next", "reward"].sum().backward()
    assert start["latent"].grad.tolist() == [3, 3]


def test_bad_input():
    model = WorldModel(ENCODER, DYNAMICS, REWARD)
    with pytest.raises(RLError, match="at least 1"):
        model.rollout(data(3), PLUS_ONE, max_steps=0)
    with pytest.raises(MissingKeyError, match="to encode"):
        model.rollout(TensorDict({}, [3]), PLUS_ONE, max_steps=1)
