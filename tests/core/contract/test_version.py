import pytest

from rl.core.contract import VERSION, require_contract
from rl.core.errors import ContractError


def test_the_older_wheel_is_told_to_move():
    require_contract("rl-envs", VERSION)
    with pytest.raises(ContractError, match="pip install --upgrade rl-envs"):
        require_contract("rl-envs", VERSION - 1)
    with pytest.raises(ContractError, match="pip install --upgrade rl-core"):
        require_contract("rl-envs", VERSION + 1)
