import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import (
    TensorDictModule,
)
from torch import nn

from rl.core.distributions import (
    FusedCategorical,
    IndependentNormal,
    NormalParamExtractor,
    OneHotCategorical,
    TanhNormal,
)
from rl.core.errors import MissingKeyError, RLError, SpecError
from rl.core.modules import (
    ExplorationType,
    ProbabilisticActor,
    set_exploration_type,
)
from rl.core.specs import Bounded, Composite, OneHot
from rl.core.specs import Categorical as CategoricalSpec


def data(batch=(5,), features=3):
    torch.manual_seed(0)
    return TensorDict(observation=torch.randn(*batch, features), batch_size=batch)


def discrete(kind=OneHotCategorical, actions=4, **kwargs):
    torch.manual_seed(1)
    net = TensorDictModule(nn.Linear(3, actions), ["observation"], ["logits"])
    return ProbabilisticActor(net, ["logits"], distribution_class=kind, **kwargs)


def gaussian(kind=TanhNormal, actions=2, **kwargs):
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(3, 2 * actions), NormalParamExtractor())
    net = TensorDictModule(net, ["observation"], ["loc", "scale"])
    return ProbabilisticActor(net, ["loc", "scale"], distribution_class=kind, **kwargs)


class TestSpecs:
    def test_leaf_and_composite(self):
        leaf = discrete(spec=OneHot(4))
        assert leaf.spec["action"] == OneHot(4)
        assert leaf.spec["logits"] is None
        assert discrete(spec=Composite(action=OneHot(4))).spec["action"] == OneHot(4)

    @pytest.mark.parametrize(
        ("actor", "fix"),
        [
            (lambda: discrete(spec=OneHot(9)), "give the network as many outputs"),
            (lambda: gaussian(spec=Bounded(-1, 1, (3,))), "pass the env's `action_spec`"),
            (
                lambda: discrete(spec=CategoricalSpec(4)),
                "use `FusedCategorical`, or an env",
            ),
            (lambda: discrete(FusedCategorical, spec=OneHot(4)), "use `OneHotCategorical`"),
            (
                lambda: discrete(FusedCategorical, spec=CategoricalSpec(7)),
                "give the network 7 outputs",
            ),
        ],
    )
    @pytest.mark.parametrize("general", [True, False])
    def test_spec_that_does_not_fit(self, actor, fix, general):
        actor = actor()
        call = actor.general_forward if general else actor
        with pytest.raises(SpecError, match=fix):
            call(data())

    @pytest.mark.parametrize("spec", [OneHot(4), OneHot(4, (8, 4)), Composite(action=OneHot(4))])
    def test_specs_that_fit(self, spec):
        actor = discrete(spec=spec)
        for batch in ((8,), (256,), (2, 8)):
            assert actor(data(batch))["action"].shape == (*batch, 4)

    def test_checked_once_per_shape(self, monkeypatch):
        actor = discrete(spec=OneHot(4))
        actor(data())
        monkeypatch.setattr(
            "rl.core.modules.actors.probabilistic.check_fits",
            lambda *_: pytest.fail("checked again"),
        )
        actor(data())

    def test_safe_projects(self):
        actor = gaussian(IndependentNormal, spec=Bounded(-0.1, 0.1, (2,)), safe=True)
        with set_exploration_type(ExplorationType.RANDOM):
            assert actor(data())["action"].abs().max() <= 0.1
        with pytest.raises(SpecError, match="pass `spec=`"):
            gaussian(safe=True)

    def test_spec_with_foreign_keys(self):
        with pytest.raises(SpecError, match="name the entries of the `Composite` after `out_keys`"):
            discrete(spec=Composite(move=OneHot(4)))


class TestErrors:
    @pytest.mark.parametrize("general", [True, False])
    def test_missing_key(self, general):
        actor = discrete()
        call = actor.general_forward if general else actor
        with pytest.raises(MissingKeyError) as caught:
            call(TensorDict(pixels=torch.zeros(5, 3), batch_size=[5]))
        for fragment in ("`observation` is missing", "['pixels']", "Rename `in_keys`"):
            assert fragment in str(caught.value)
        assert "TensorDictModule" in str(caught.value) or "ProbabilisticActor" in str(caught.value)

    def test_module_of_tensors(self):
        with pytest.raises(RLError, match="wrap it, `TensorDictModule"):
            ProbabilisticActor(nn.Linear(3, 4), ["logits"], distribution_class=FusedCategorical)

    @pytest.mark.parametrize("kind", [FusedCategorical, OneHotCategorical])
    @pytest.mark.parametrize("general", [True, False])
    def test_mean_of_classes(self, kind, general):
        actor = discrete(kind)
        call = actor.general_forward if general else actor
        with (
            set_exploration_type(ExplorationType.MEAN),
            pytest.raises(RLError, match=r"Use `ExplorationType\.DETERMINISTIC`"),
        ):
            call(data())
