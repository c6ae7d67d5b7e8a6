"""A memmap buffer is saved, killed and loaded without passing through memory."""

import multiprocessing
import os
import signal
import time

import pytest
import torch

from rl.data import LazyMemmapStorage, PrioritizedSampler, ReplayBuffer

FRESH = multiprocessing.get_context("forkserver")
FRESH.set_forkserver_preload(["torch", "tensordict", "rl.data"])

FRAME = (4, 84, 84)
MIB = 2**20


def make(rows, folder):
    return ReplayBuffer(
        storage=LazyMemmapStorage(rows, scratch_dir=folder),
        sampler=PrioritizedSampler(rows, 0.7, 0.5),
        batch_size=32,
        generator=torch.Generator().manual_seed(3),
    )


def resident():
    """Bytes of memory of this process now, and at most since `forget_peak`."""
    with open("/proc/self/status") as file:
        lines = dict(line.split(":", 1) for line in file)
    return [int(lines[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM")]


def forget_peak():
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def frames(rb, count):
    return [rb.sample()["frame"].sum((1, 2, 3)).tolist() for _ in range(count)]


def fill_save_and_die(rows, folder, queue):
    rb = make(rows, folder / "first")
    for start in range(0, rows, 500):
        number = torch.arange(start, min(start + 500, rows))
        frame = (number[:, None, None, None] % 251).to(torch.uint8).expand(-1, *FRAME)
        rb.extend({"frame": frame.contiguous(), "number": number})
    rb.update_priority(torch.arange(rows), torch.rand(rows) + 0.1)
    frames(rb, 3)
    before = resident()[0]
    forget_peak()
    start = time.monotonic()
    rb.dumps(folder / "saved")
    queue.put((resident()[1] - before, time.monotonic() - start, frames(rb, 4)))
    queue.close()
    queue.join_thread()
    os.kill(os.getpid(), signal.SIGKILL)


def load(rows, folder, queue):
    rb = make(rows, folder / "second")
    before = resident()[0]
    forget_peak()
    start = time.monotonic()
    rb.loads(folder / "saved")
    grown = resident()[1] - before
    queue.put((grown, time.monotonic() - start, frames(rb, 4)))


def save_kill_load(folder, rows):
    queue = FRESH.Queue()
    results = []
    for function, code in ((fill_save_and_die, -signal.SIGKILL), (load, 0)):
        worker = FRESH.Process(target=function, args=(rows, folder, queue))
        worker.start()
        results.append(queue.get(timeout=280))
        worker.join(60)
        assert worker.exitcode == code
    (save_grown, save_s, wanted), (load_grown, load_s, found) = results
    assert found == wanted, "the loaded buffer draws other batches"
    return save_grown, save_s, load_grown, load_s


def test_save_kill_load(tmp_path):
    rows = 4000  # 108 MiB
    save_grown, _, load_grown, _ = save_kill_load(tmp_path, rows)
    assert save_grown < 24 * MIB
    assert load_grown < 24 * MIB


@pytest.mark.slow
def test_save_kill_load_of_two_gigabytes(tmp_path):
    rows = 76_200  # 2.15e9 bytes
    save_grown, save_s, load_grown, load_s = save_kill_load(tmp_path, rows)
    print(  # noqa: T201 (what the run is for)
        f"save {save_s:.1f} s, +{save_grown / MIB:.0f} MiB; load {load_s:.1f} s, "
        f"+{load_grown / MIB:.0f} MiB"
    )
    assert save_grown < 64 * MIB
    assert load_grown < 64 * MIB
