import pytest
import torch

from rl.core import compile_with_warmup


@pytest.fixture
def backend():
    """Counts what it compiles."""

    def count(graph, inputs):
        count.compiled += 1
        return graph

    count.compiled = 0
    return count


@pytest.mark.parametrize("warmup", [0, 1, 3])
def test_the_first_calls_are_as_written(backend, warmup):
    double = compile_with_warmup(lambda x: 2 * x, warmup=warmup, backend=backend)
    for call in range(5):
        assert double(torch.tensor([1.0])).item() == 2.0
        assert backend.compiled == (call >= warmup)


def test_one_call_by_default(backend):
    double = compile_with_warmup(lambda x: 2 * x, backend=backend)
    double(torch.zeros(1))
    assert backend.compiled == 0
    double(torch.zeros(1))
    assert backend.compiled == 1


def test_as_a_decorator(backend):
    @compile_with_warmup(warmup=0, backend=backend)
    def double(x, *, times=2):
        """Doubles."""
        return times * x

    assert double(torch.ones(1), times=3).item() == 3.0
    assert (double.__name__, double.__doc__) == ("double", "Doubles.")
    assert backend.compiled == 1


def test_lazy_modules_are_made_before_they_are_traced(backend):
    net = torch.nn.LazyLinear(2)
    call = compile_with_warmup(net, backend=backend)
    x = torch.ones(1, 3)
    torch.testing.assert_close(call(x), call(x))
    assert net.weight.shape == (2, 3)
    assert backend.compiled == 1


def test_negative_warmup_is_refused():
    with pytest.raises(ValueError, match="0 or more"):
        compile_with_warmup(lambda: None, warmup=-1)
