"""One local Ray for all tests of the wheel."""

import os

import pytest
import ray

from rl.distributed.ray.pool import LOCAL_RAY


@pytest.fixture(scope="session", autouse=True)
def _local_ray():
    # workers import the functions that test modules define
    os.environ["PYTHONPATH"] = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])
    ray.init(num_cpus=4, **LOCAL_RAY)
    yield
    ray.shutdown()
