"""What importing costs and what it may not change."""

import json
import os
import subprocess
import sys

from rl.core.testing import module_names

LIGHT = ("core", "envs", "data", "objectives", "llm")

# Seconds beyond tensordict's own, of the processor and the best of five: what else the machine
# does can only add to them.
CORE_S = 0.15
FIVE_S = 0.3

TIMER = """
import sys, time
import tensordict
start = time.process_time()
for name in sys.argv[1:]:
    __import__(name)
    if name == "rl.core":
        core = time.process_time() - start
print([core, time.process_time() - start])
"""

SNAPSHOT = """
import gc, json, logging, multiprocessing, os, random, signal, sys, threading, warnings
import numpy, tensordict, torch

def snapshot():
    return {
        "start method": multiprocessing.get_start_method(allow_none=True),
        "dtype": str(torch.get_default_dtype()),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "warnings": [str(entry) for entry in warnings.filters],
        "environment": dict(os.environ),
        "torch seed": torch.get_rng_state().sum().item(),
        "numpy seed": numpy.random.get_state()[1].sum().item(),
        "python seed": hash(random.getstate()),
        "signals": [str(signal.getsignal(s)) for s in (signal.SIGINT, signal.SIGTERM)],
        "handlers": len(logging.getLogger().handlers),
        "level": logging.getLogger().level,
        "running threads": threading.active_count(),
        "hooks": (str(sys.excepthook), str(threading.excepthook)),
        "grad": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul precision": torch.get_float32_matmul_precision(),
        "validation": torch.distributions.Distribution._validate_args,
        "sharing": torch.multiprocessing.get_sharing_strategy(),
        "lists": str(tensordict.list_to_stack()),
        "path": sys.path[:],
        "gc": (gc.isenabled(), gc.get_threshold()),
        "printing": str(numpy.get_printoptions()),
    }

before = snapshot()
for name in sys.argv[1:]:
    __import__(name)
after = snapshot()
print(json.dumps({key: [before[key], after[key]] for key in before if before[key] != after[key]}))
"""


def run(code, *names, environ=None):
    command = [sys.executable, "-c", code, *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environ)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_importing_is_quick(tmp_path):
    # an installed wheel has its bytecode; here the first of the runs makes it
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environ["PYTHONPYCACHEPREFIX"] = str(tmp_path)
    names = [f"rl.{wheel}" for wheel in LIGHT]
    times = [run(TIMER, *names, environ=environ) for _ in range(5)]
    core_s, five_s = map(min, zip(*times, strict=True))
    assert core_s <= CORE_S
    assert five_s <= FIVE_S


def test_importing_changes_nothing_global():
    names = [
        name
        for wheel in (*LIGHT, "distributed")
        for name in module_names(f"rl.{wheel}")
        if ".recipes" not in name
    ]
    assert run(SNAPSHOT, *names) == {}


def test_importing_loads_no_optional_library():
    code = """
import sys
for name in sys.argv[1:]:
    __import__(name)
heavy = ("gymnasium", "ray", "transformers", "vllm", "matplotlib", "tyro", "rich", "tensorboard")
heavy += ("wandb", "mlflow", "trackio", "av", "PIL")
import json; print(json.dumps([name for name in heavy if name in sys.modules]))
"""
    assert run(code, *(f"rl.{wheel}" for wheel in (*LIGHT, "distributed"))) == []
