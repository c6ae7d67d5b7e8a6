"""The contract's version: keys, shapes and `step_mdp` semantics that the six wheels share."""

from __future__ import annotations

from rl.core.errors import ContractError

__all__ = ["VERSION", "require_contract"]

VERSION = 1


def require_contract(wheel: str, built_for: int) -> None:
    """Raise unless `wheel` was built for the installed contract.

    Args:
        wheel: distribution name, such as `"rl-envs"`.
        built_for: the contract version that the wheel declares.

    Raises:
        ContractError: names the wheel to move.

    Example:
        >>> require_contract("rl-envs", VERSION)
    """
    if built_for == VERSION:
        return
    older = wheel if built_for < VERSION else "rl-core"
    raise ContractError(
        f"`{wheel}` was built for contract {built_for}, the installed rl-core holds contract "
        f"{VERSION}: `pip install --upgrade {older}`."
    )
