"""Conformance kits: checks that every implementation of an interface has to pass."""

from rl.core.testing.distributions import check_distribution
from rl.core.testing.doctests import module_names, run_doctests
from rl.core.testing.loggers import check_logger
from rl.core.testing.modules import check_module
from rl.core.testing.services import ServiceProbe, check_service
from rl.core.testing.specs import check_spec
from rl.core.testing.transforms import check_transform
from rl.core.testing.weights import check_weight_sync

__all__ = [
    "ServiceProbe",
    "check_distribution",
    "check_logger",
    "check_module",
    "check_service",
    "check_spec",
    "check_transform",
    "check_weight_sync",
    "module_names",
    "run_doctests",
]
