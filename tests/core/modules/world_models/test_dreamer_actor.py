import pytest
import torch

from rl.core.modules import DreamerActor, ProbabilisticActor, SafeModule, TanhNormal
from rl.core.specs import Bounded


@pytest.mark.parametrize("batch", [(), (5,), (2, 5)])
def test_shapes_and_bounds(batch):
    loc, scale = DreamerActor(3)(torch.randn(*batch, 30), torch.randn(*batch, 200))
    assert loc.shape == scale.shape == (*batch, 3)
    assert (scale >= 1e-4).all()


def test_scale_where_the_network_outputs_zero():
    actor = DreamerActor(2, std_bias=2.0, std_min_val=0.1)
    actor(torch.zeros(4), torch.zeros(4))
    for parameter in actor.parameters():
        parameter.data.zero_()
    loc, scale = actor(torch.zeros(4), torch.zeros(4))
    assert loc.tolist() == [0, 0]
    torch.testing.assert_close(scale, torch.full((2,), 2.0), atol=0.11, rtol=0)


def test_as_a_policy():
    actor = ProbabilisticActor(
        SafeModule(DreamerActor(2), ["state", "belief"], ["loc", "scale"]),
        in_keys=["loc", "scale"],
        spec=Bounded(-1, 1, (2,)),
        distribution_class=TanhNormal,
    )
    assert actor(state=torch.zeros(5, 3), belief=torch.zeros(5, 4))[-1].shape == (5, 2)
