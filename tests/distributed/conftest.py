"""One local Ray for all tests of the wheel."""

import os

import pytest
import ray

from rl.distributed.ray.pool import LOCAL_RAY


@pytest.fixture(scope="session", autouse=True)
def _local_ray():
    with pytest.MonkeyPatch.context() as patch:
        # workers import the functions that test modules define
        patch.setenv("PYTHONPATH", os.getcwd(), prepend=os.pathsep)
        ray.init(num_cpus=4, **LOCAL_RAY)
        yield
        ray.shutdown()
