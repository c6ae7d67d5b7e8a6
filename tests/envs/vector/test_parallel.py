"""Processes: starting, failing, recovering, ending."""

import contextlib
import functools
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import torch
from tensordict import TensorDict

from rl.core import Composite, OneHot, RLError, Unbounded, WorkerError
from rl.envs.base import EnvBase
from rl.envs.libs import GymEnv
from rl.envs.testing import CountingEnv
from rl.envs.vector import ParallelEnv, SerialEnv


class Fragile(CountingEnv):
    """Does what `failures` says when its count reaches a number."""

    def __init__(self, failures=None, **kwargs):
        super().__init__(max_steps=100, **kwargs)
        self.failures = failures or {}

    def _step(self, tensordict):
        following = super()._step(tensordict)
        failure = self.failures.get(int(self.count))
        if failure == "raise":
            raise ZeroDivisionError("counted too far")
        if failure == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if failure == "hang":
            time.sleep(1000)
        return following


@pytest.fixture
def make():
    """A function that builds a ParallelEnv, closed after the test."""
    built = []

    def build(*args, **kwargs):
        kwargs.setdefault("timeout_s", 60.0)
        built.append(ParallelEnv(*args, **kwargs))
        return built[-1]

    yield build
    for env in built:
        env.close()


def steps(env, count):
    td = env.reset()
    for _ in range(count):
        td = env.rand_step(td)
        yield td
        td = env.step_mdp(td)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    return True


def wait_gone(pids, timeout_s=5.0):
    deadline = time.monotonic() + timeout_s
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline, f"still alive: {[p for p in pids if is_alive(p)]}"
        time.sleep(0.01)


@pytest.mark.parametrize("method", ["forkserver", "spawn", "fork"])
def test_start_methods(make, method):
    env = make(2, lambda: CountingEnv(max_steps=3), mp_start_method=method)
    pids = env.backend.pids
    assert env.rollout(5)["next", "observation"][0].flatten().tolist() == [1, 2, 3]
    assert os.getpid() not in pids
    env.close()
    env.close()
    wait_gone(pids)


def test_a_fork_may_drop_what_its_parent_shares(make, monkeypatch):
    """Such tensors close their descriptors when they go, and end the process if they cannot."""
    parent, held = os.getpid(), [torch.zeros(4).share_memory_() for _ in range(30)]
    # found by name, as the function is sent by value
    monkeypatch.setitem(sys.modules, "held_by_the_parent", held)

    def build():
        if os.getpid() != parent:
            sys.modules["held_by_the_parent"].clear()
        return CountingEnv(max_steps=3)

    env = make(1, build, mp_start_method="fork")
    assert env.rollout(2)["next", "observation"][0].flatten().tolist() == [1, 2]
    assert len(held) == 30


def test_several_envs_per_process(make):
    assert len(set(make(4, CountingEnv, num_processes=2).backend.pids)) == 2
    assert len(set(make(2, CountingEnv, num_processes=9).backend.pids)) == 2


def test_an_error_comes_with_index_phase_and_traceback(make):
    env = make(
        3, [CountingEnv, functools.partial(Fragile, {2: "raise"}), CountingEnv], num_processes=2
    )
    transitions = steps(env, 5)
    next(transitions)
    with pytest.raises(
        WorkerError, match=r"Worker 1 of 3 stopped in `step`: ZeroDivisionError"
    ) as caught:
        next(transitions)
    assert "Its traceback follows" in str(caught.value)
    assert "counted too far" in str(caught.value)
    assert "in _step" in str(caught.value)


def test_an_env_that_raised_can_go_on(make):
    env = make(2, functools.partial(Fragile, {2: "raise"}), num_processes=1)
    with pytest.raises(WorkerError, match="ZeroDivisionError"):
        list(steps(env, 5))
    assert env.reset()["observation"].flatten().tolist() == [0, 0]


def test_error_at_creation(make):
    def broken():
        raise ValueError("no such level")

    with pytest.raises(
        WorkerError, match=r"Worker 1 of 2 stopped in `creation`: ValueError: no such level"
    ):
        make(2, [CountingEnv, broken])


def test_error_at_reset(make):
    class NoReset(CountingEnv):
        def _reset(self, tensordict=None, **kwargs):
            raise ValueError("locked")

    with pytest.raises(WorkerError, match="stopped in `reset`: ValueError: locked"):
        make(2, NoReset).reset()


@pytest.mark.parametrize("when", ["idle", "in a step"])
def test_a_killed_worker_is_an_error_at_once(make, when):
    env = make(2, [CountingEnv, functools.partial(Fragile, {2: "die"})], num_processes=2)
    transitions = steps(env, 5)
    next(transitions)
    if when == "idle":
        os.kill(env.backend.pids[1], signal.SIGKILL)
        time.sleep(0.05)
    start = time.monotonic()
    with pytest.raises(WorkerError, match=r"Worker 1 of 2 stopped in `step`: its process died"):
        next(transitions)
    assert time.monotonic() - start < 5.0
    with pytest.raises(WorkerError, match="can no longer be used"):
        env.reset()
    pids = env.backend.pids
    env.close()
    wait_gone(pids)


def test_a_silent_worker_is_an_error(make):
    env = make(1, functools.partial(Fragile, {1: "hang"}), timeout_s=15.0)
    env.backend._timeout_s = 0.5  # starting may take longer than that
    with pytest.raises(WorkerError, match=r"no answer within 0\.5 s"):
        next(steps(env, 1))
    wait_gone(env.backend.pids)


@pytest.mark.parametrize("failure", ["die", "raise"])
def test_restart_truncates_the_lost_episodes(make, failure):
    env = make(
        3,
        [CountingEnv, functools.partial(Fragile, {2: failure}), functools.partial(CountingEnv, 50)],
        num_processes=3,
        on_worker_failure="restart",
    )
    env.set_seed(0)
    transitions = steps(env, 2)
    next(transitions)
    with pytest.warns(
        RuntimeWarning, match=r"(?s)Worker 1 of 3 stopped in `step`.* It is started again"
    ):
        td = next(transitions)
    following = td["next"]
    assert following["observation"].flatten().tolist() == [2, 1, 2]
    assert following["truncated"].flatten().tolist() == [False, True, False]
    assert following["done"].flatten().tolist() == [False, True, False]
    assert not following["terminated"].any()
    assert following["reward"].flatten().tolist() == [1, 0, 1]
    root = env.maybe_reset(env.step_mdp(td))
    assert root["observation"].flatten().tolist() == [2, 0, 2]
    assert env.rand_step(root)["next", "observation"].flatten().tolist() == [3, 1, 3]


def test_restart_at_a_reset(make):
    env = make(2, CountingEnv, num_processes=2, on_worker_failure="restart")
    env.reset()
    os.kill(env.backend.pids[0], signal.SIGKILL)
    time.sleep(0.05)
    with pytest.warns(RuntimeWarning, match="started again"):
        root = env.reset()
    assert root["observation"].flatten().tolist() == [0, 0]


def test_unknown_options():
    with pytest.raises(RLError, match="Did you mean `forkserver`"):
        ParallelEnv(1, CountingEnv, mp_start_method="forkservr")
    with pytest.raises(RLError, match="Did you mean `restart`"):
        ParallelEnv(1, CountingEnv, on_worker_failure="restar")
    with pytest.raises(RLError, match="`num_processes` is 0"):
        ParallelEnv(1, CountingEnv, num_processes=0)


def test_a_maker_that_cannot_travel():
    lock = threading.Lock()
    with pytest.raises(RLError, match="a function that builds the env"):
        ParallelEnv(1, lambda: CountingEnv(lock))


def test_workers_draw_different_numbers(make):
    class Noise(EnvBase):
        def __init__(self):
            super().__init__()
            self.observation_spec = Composite(observation=Unbounded((1,)))
            self.action_spec = OneHot(2)

        def _reset(self, tensordict=None, **kwargs):
            return TensorDict({"observation": torch.rand(1)})

        def _step(self, tensordict):
            done = torch.zeros(1, dtype=torch.bool)
            return TensorDict({"observation": torch.rand(1), "reward": torch.ones(1), "done": done})

        def _set_seed(self, seed):
            pass

    one, other = make(2, Noise, num_processes=2).reset()["observation"]
    assert one != other


def run_script(source, timeout=60):
    """Run a script in a fresh interpreter; it is a file, as `__main__` of a user is."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_script_without_main_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            from rl.envs.testing import CountingEnv
            from rl.envs.vector import ParallelEnv

            class Mine(CountingEnv):
                pass

            env = ParallelEnv(2, lambda: Mine(max_steps=3))
            print(env.rollout(10)["next", "observation"].flatten().tolist())
            """
        )
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    # never closed either: the interpreter's exit ends the workers
    assert done.stdout.strip() == "[1.0, 2.0, 3.0, 1.0, 2.0, 3.0]"
    assert done.stderr == ""
    assert done.returncode == 0


def test_workers_end_with_their_parent():
    source = """
        import os, sys, time
        from rl.envs.testing import CountingEnv
        from rl.envs.vector import ParallelEnv
        env = ParallelEnv(2, CountingEnv, num_processes=2)
        print(*env.backend.pids, flush=True)
        os.kill(os.getpid(), 9)
    """
    done = run_script(source)
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2
    wait_gone(pids)


def test_nothing_is_left_in_shared_memory(make):
    before = set(os.listdir("/dev/shm"))
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        env = ParallelEnv(2, CountingEnv)
        env.rollout(2)
        env.close()
    del env
    gc.collect()  # the memory is unmapped with its last array
    assert set(os.listdir("/dev/shm")) <= before
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 1


def test_lambda_with_pixels(make):
    env = make(2, lambda: GymEnv("CartPole-v1", from_pixels=True))
    pixels = env.rollout(2)["next", "pixels"]
    assert pixels.dtype == torch.uint8
    assert pixels.float().std() > 0


def test_num_threads(make):
    class Threads(CountingEnv):
        def threads(self):
            return torch.get_num_threads()

    assert make(2, Threads, num_threads=2).threads() == [2, 2]


def test_the_start_method_of_multiprocessing_is_left_alone():
    source = """
        import multiprocessing
        from rl.envs.testing import CountingEnv
        from rl.envs.vector import ParallelEnv
        ParallelEnv(1, CountingEnv).close()
        print(multiprocessing.get_start_method(allow_none=True))
    """
    assert run_script(source).stdout.strip() == "None"


def test_serial_error_names_the_env():
    env = SerialEnv(2, [CountingEnv, functools.partial(Fragile, {1: "raise"})])
    with pytest.raises(ZeroDivisionError) as caught:
        next(steps(env, 1))
    assert caught.value.__notes__ == ["Raised by env 1 of the vector env."]
