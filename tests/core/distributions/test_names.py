import pytest

from rl.core import distributions
from rl.core.distributions import distributions_maps


@pytest.mark.parametrize("name", ["TanhNormal", "OneHotCategorical", "LLMMaskedCategorical"])
def test_classes_by_their_name_in_lower_case(name):
    assert distributions_maps[name.lower()] is getattr(distributions, name)
