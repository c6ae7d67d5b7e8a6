"""Conformance kits: checks that every implementation of an interface has to pass."""

from rl.core.testing.distributions import check_distribution
from rl.core.testing.doctests import module_names, run_doctests
from rl.core.testing.loggers import check_logger
from rl.core.testing.services import ServiceProbe, check_service
from rl.core.testing.transforms import check_transform

__all__ = [
    "ServiceProbe",
    "check_distribution",
    "check_logger",
    "check_service",
    "check_transform",
    "module_names",
    "run_doctests",
]
