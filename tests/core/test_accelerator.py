import pytest
import torch

from rl.core import (
    cuda_memory_profile,
    cuda_memory_stats,
    get_available_device,
    reset_cuda_peak_stats,
)

NAMES = {"allocated_gb", "reserved_gb", "max_allocated_gb", "max_reserved_gb"}
GB = 1024**3


@pytest.fixture
def memory(monkeypatch):
    """A CUDA device whose memory the tests set."""

    class Memory(dict):
        resets = 0

        def reset(self, device=None):
            self.resets += 1
            for kind in ("allocated", "reserved"):
                self[f"{kind}_bytes.all.peak"] = self[f"{kind}_bytes.all.current"]

        def put(self, allocated, peak):
            for kind, factor in (("allocated", 1), ("reserved", 2)):
                self[f"{kind}_bytes.all.current"] = factor * allocated * GB
                self[f"{kind}_bytes.all.peak"] = factor * peak * GB

    memory = Memory()
    memory.put(1, 5)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.memory_stats", lambda device=None: dict(memory))
    monkeypatch.setattr("torch.cuda.reset_peak_memory_stats", memory.reset)
    return memory


def test_the_cpu_where_there_is_nothing_else(monkeypatch):
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    assert get_available_device() == torch.device("cpu")
    assert get_available_device(return_str=True) == "cpu"


def test_the_accelerator_where_there_is_one(monkeypatch):
    monkeypatch.setattr("torch.accelerator.is_available", lambda: True)
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda: torch.device("cuda"))
    assert get_available_device() == torch.device("cuda", 0)
    assert get_available_device(return_str=True) == "cuda:0"


def test_zeros_where_there_is_no_cuda(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert cuda_memory_stats() == dict.fromkeys(NAMES, 0.0)
    reset_cuda_peak_stats()
    with cuda_memory_profile("block") as profile:
        pass
    assert profile.stats == dict.fromkeys(NAMES, 0.0)


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_another_device_is_not_measured(memory, device):
    assert cuda_memory_stats(device) == dict.fromkeys(NAMES, 0.0)
    reset_cuda_peak_stats(device)
    assert memory.resets == 0


@pytest.mark.parametrize("device", [None, 0, "cuda", torch.device("cuda:0")])
def test_stats_are_in_gigabytes(memory, device):
    assert cuda_memory_stats(device) == {
        "allocated_gb": 1.0,
        "reserved_gb": 2.0,
        "max_allocated_gb": 5.0,
        "max_reserved_gb": 10.0,
    }
    reset_cuda_peak_stats(device)
    assert cuda_memory_stats(device)["max_allocated_gb"] == 1.0


def test_profile_logs_what_a_block_took(memory, caplog):
    with caplog.at_level("INFO", logger="rl"), cuda_memory_profile("loss") as profile:
        assert cuda_memory_stats()["max_allocated_gb"] == 1.0, "the peak starts anew"
        memory.put(3, 4)
    assert profile.stats["max_allocated_gb"] == 4.0
    (record,) = caplog.records
    assert record.message == (
        "loss: +2.000 GB allocated, 3.000 GB in all, peak 4.000 GB, 8.000 GB reserved at most"
    )


def test_profile_as_a_decorator_that_keeps_peaks_and_silence(memory, caplog):
    profile = cuda_memory_profile("step", log=False, reset_peaks=False)

    @profile
    def step(depth):
        return step(depth - 1) if depth else 7

    with caplog.at_level("INFO", logger="rl"):
        assert step(2) == 7
    assert profile.stats["max_allocated_gb"] == 5.0
    assert (memory.resets, caplog.records) == (0, [])
