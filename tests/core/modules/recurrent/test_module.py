"""What LSTM and GRU modules share, on both of them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict
from tensordict.nn import TensorDictModule, TensorDictSequential
from torch import nn

from rl.core.contract import step_mdp
from rl.core.errors import MissingKeyError, RLError, ShapeError, SpecError
from rl.core.modules import GRUModule, LSTMModule, set_recurrent_mode

KINDS = [LSTMModule, GRUModule]
ids = {"ids": lambda value: getattr(value, "__name__", None)}


def make(kind, **settings):
    torch.manual_seed(0)
    return kind(3, 4, **{"in_key": "x", "out_key": "y", **settings})


def record(module, x, is_init, start=None):
    """Steps over time as an env does, with a memory that nothing resets, and stacks the steps."""
    steps, carried = [], start
    for t in range(x.shape[-2]):
        td = TensorDict(x=x[..., t, :], is_init=is_init[..., t, :], batch_size=x.shape[:-2])
        if carried is not None:
            td.update(carried)
        steps.append(module(td))
        carried = steps[-1]["next"]
    return torch.stack(steps, x.ndim - 2)


def without_results(td):
    return td.exclude("y", "next")


class TestEquivalence:
    @pytest.mark.parametrize("kind", KINDS, **ids)
    @given(data=st.data())
    @settings(max_examples=25, deadline=None)
    def test_steps_equal_sequences(self, kind, data):
        layers = data.draw(st.integers(1, 3), "layers")
        batch = data.draw(st.sampled_from([(), (1,), (3,), (2, 2)]), "batch")
        steps = data.draw(st.integers(1, 7), "steps")
        rate = data.draw(st.sampled_from([0.0, 0.3, 1.0]), "rate")
        options = data.draw(
            st.sampled_from([{}, {"python_based": True}, {"recurrent_backend": "scan"}]), "options"
        )
        module = make(kind, num_layers=layers, dropout=0.5 if layers > 1 else 0.0, **options).eval()
        torch.manual_seed(data.draw(st.integers(0, 99), "seed"))
        x = torch.randn(*batch, steps, 3)
        is_init = torch.rand(*batch, steps, 1) < rate
        start = module.initial_state(batch).apply(torch.randn_like)
        recorded = record(module, x, is_init, start)
        with set_recurrent_mode(True):
            result = module(without_results(recorded))
        torch.testing.assert_close(result["y"], recorded["y"], atol=1e-5, rtol=1e-5)
        # the states that the kernel tells: at the end of each segment
        ends = torch.cat([is_init[..., 1:, 0], torch.ones(*batch, 1, dtype=torch.bool)], -1)
        if "recurrent_backend" in options or "python_based" in options:
            ends = torch.ones_like(ends)
        for key in module.keys.states:
            found, expected = result["next", key], recorded["next", key]
            torch.testing.assert_close(found[ends], expected[ends], atol=1e-5, rtol=1e-5)
            assert found[~ends].isnan().all()

    @pytest.mark.parametrize("kind", KINDS, **ids)
    @pytest.mark.parametrize("backend", ["pad", "scan"])
    def test_gradients_equal(self, kind, backend):
        module = make(kind, num_layers=2, recurrent_backend=backend)
        x, is_init = torch.randn(3, 6, 3), torch.rand(3, 6, 1) < 0.3
        recorded = record(module, x, is_init, module.initial_state([3]))
        recorded["y"].square().sum().backward()
        expected = {name: p.grad.clone() for name, p in module.named_parameters()}
        module.zero_grad()
        with set_recurrent_mode(True):
            result = module(without_results(recorded).detach())
        result["y"].square().sum().backward()
        for name, parameter in module.named_parameters():
            torch.testing.assert_close(parameter.grad, expected[name], atol=1e-4, rtol=1e-4)

    @pytest.mark.parametrize("kind", KINDS, **ids)
    def test_a_segment_starts_from_what_is_stored(self, kind):
        """As in the slices of a buffer, which start in the middle of trajectories."""
        module = make(kind)
        x = torch.randn(6, 3)
        no_init = torch.zeros(6, 1, dtype=torch.bool)
        recorded = record(module, x, no_init, module.initial_state().apply(torch.randn_like))
        pieces = [recorded[3:], recorded[1:3]]
        slices = torch.cat(pieces)
        slices["is_init"][[0, 3]] = True
        with set_recurrent_mode(True):
            result = module(without_results(slices))
        torch.testing.assert_close(result["y"], slices["y"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS, **ids)
class TestSteps:
    def test_is_one_step_of_the_framework(self, kind):
        module = make(kind, num_layers=2)
        start = module.initial_state([5]).apply(torch.randn_like)
        x = torch.randn(5, 3)
        td = TensorDict(x=x, is_init=torch.zeros(5, 1, dtype=torch.bool), batch_size=[5])
        td = module(td.update(start))
        hx = [start[key].transpose(0, 1).contiguous() for key in module.keys.states]
        out, last = module.net(x.unsqueeze(1), tuple(hx) if len(hx) == 2 else hx[0])
        torch.testing.assert_close(td["y"], out[:, 0])
        last = last if len(hx) == 2 else (last,)
        for key, value in zip(module.keys.states, last, strict=True):
            torch.testing.assert_close(td["next", key], value.transpose(0, 1))

    def test_a_trajectory_begins_with_an_empty_memory(self, kind):
        module = make(kind)
        td = TensorDict(x=torch.randn(2, 3), is_init=torch.tensor([[True], [False]]))
        td.batch_size = [2]
        start = module.initial_state([2]).apply(torch.ones_like)
        result = module(td.copy().update(start))
        empty = module(td.copy().update(module.initial_state([2])))
        assert torch.equal(result["y"][0], empty["y"][0])
        assert not torch.equal(result["y"][1], empty["y"][1])
        for key in module.keys.states:  # what is stored is what was used
            assert result[key].flatten(1).tolist() == [[0.0] * 4, [1.0] * 4]

    def test_states_travel_with_step_mdp(self, kind):
        module = make(kind)
        td = TensorDict(x=torch.randn(3), is_init=torch.ones(1, dtype=torch.bool))
        td = module(td)
        following = step_mdp(td)
        for key in module.keys.states:
            assert torch.equal(following[key], td["next", key])

    def test_nested_keys_and_tensors(self, kind):
        names = [("g", name) for name in kind.state_names]
        module = make(
            kind,
            in_key=None,
            out_key=None,
            in_keys=[("g", "x"), *names, ("g", "first")],
            out_keys=[("g", "y"), *(("next", *name) for name in names)],
        )
        td = TensorDict(
            g=TensorDict(x=torch.randn(5, 3), first=torch.ones(5, 1, dtype=torch.bool)),
            batch_size=[5],
        )
        td = module(td)
        assert td["g", "y"].shape == torch.Size([5, 4])
        assert td["next", "g", kind.state_names[0]].shape == torch.Size([5, 1, 4])
        start = module.initial_state([5])
        tensors = [start[name] for name in names]
        out = module(td["g", "x"], *tensors, td["g", "first"])
        assert torch.equal(out[0], td["g", "y"])

    def test_dropout_between_layers(self, kind):
        module = make(kind, num_layers=2, dropout=1.0)
        td = TensorDict(x=torch.randn(2, 3), is_init=torch.ones(2, 1, dtype=torch.bool))
        out = module(td)["y"]
        torch.testing.assert_close(out[0], out[1])
        out = module.eval()(td)["y"]
        assert not torch.equal(out[0], out[1])


@pytest.mark.parametrize("kind", KINDS, **ids)
class TestSequences:
    def data(self, module, **extra):
        td = TensorDict(x=torch.randn(2, 5, 3), is_init=torch.zeros(2, 5, 1, dtype=torch.bool))
        td.batch_size = [2, 5]
        return td.update(module.initial_state([2, 5])).update(extra)

    def test_states_of_the_batch_stay_where_the_kernel_tells_none(self, kind):
        module = make(kind)
        stored = {key: torch.full((2, 5, 1, 4), 7.0) for key in module.keys.states}
        with set_recurrent_mode(True):
            td = module(self.data(module, next=stored))
        for key in module.keys.states:
            assert (td["next", key][:, :-1] == 7.0).all()
            assert (td["next", key][:, -1] != 7.0).all()

    def test_default_mode(self, kind):
        module = make(kind, default_recurrent_mode=True)
        td = module(self.data(module))
        # over time: the second step knows the first
        assert module.recurrent_mode
        with set_recurrent_mode(False):
            alone = module(self.data(module).set("x", td["x"]))
        torch.testing.assert_close(alone["y"][:, 0], td["y"][:, 0])
        assert not torch.allclose(alone["y"][:, 1], td["y"][:, 1])

    def test_bidirectional(self, kind):
        module = make(kind, bidirectional=True, num_layers=2)
        td = self.data(module)
        td["is_init"][1, 2] = True
        with set_recurrent_mode(True):
            result = module(td.copy())
        pieces = [td["x"][0], td["x"][1, :2], td["x"][1, 2:]]
        expected = torch.cat([module.net(piece)[0] for piece in pieces]).view(2, 5, 8)
        torch.testing.assert_close(result["y"], expected, atol=1e-6, rtol=1e-5)
        with pytest.raises(RLError, match=r"under `set_recurrent_mode\(True\)`"):
            module(td)

    def test_bidirectional_step_by_step_is_refused(self, kind):
        module = make(kind, bidirectional=True, python_based=True, default_recurrent_mode=True)
        with pytest.raises(RLError, match="without `python_based`"):
            module(self.data(module))

    def test_compute_dtype(self, kind):
        for backend in ("pad", "scan"):
            module = make(kind, recurrent_backend=backend, default_recurrent_mode=True)
            td = self.data(module)
            td["is_init"][0, 2] = True
            plain = module(td.copy())["y"]
            module = make(
                kind,
                recurrent_backend=backend,
                recurrent_compute_dtype=torch.float64,
                default_recurrent_mode=True,
            )
            out = module(td.copy())["y"]
            assert out.dtype == torch.float32
            torch.testing.assert_close(out, plain)
            out.sum().backward()
            assert module.net.weight_ih_l0.grad.dtype == torch.float32

    def test_recompute(self, kind):
        for backend in ("pad", "scan"):
            grads = []
            for how in ("none", "full"):
                module = make(
                    kind,
                    recurrent_backend=backend,
                    recurrent_recompute=how,
                    default_recurrent_mode=True,
                )
                torch.manual_seed(1)
                module(self.data(module))["y"].sum().backward()
                grads.append(module.net.weight_hh_l0.grad)
            assert torch.equal(*grads)

    def test_vmap_over_stacked_weights(self, kind):
        modules = [make(kind), make(kind)]
        with torch.no_grad():
            modules[1].net.weight_hh_l0.mul_(2)
        for module in modules:
            module.make_python_based()
        stacked = [m.state_dict() for m in modules]
        params = {k: torch.stack([state[k] for state in stacked]) for k in stacked[0]}
        td = self.data(modules[0])
        td["is_init"][0, 2] = True
        module = modules[0]

        def call(params):
            with set_recurrent_mode(True):
                return torch.func.functional_call(module, params, (td.copy(),))["y"]

        out = torch.vmap(call)(params)
        with set_recurrent_mode(True):
            expected = [m(td.copy())["y"] for m in modules]
        torch.testing.assert_close(out, torch.stack(expected))
        module.make_cudnn_based()
        with pytest.raises(RLError, match=r"`module.make_python_based\(\)` first"):
            torch.vmap(call)(params)


@pytest.mark.parametrize("kind", KINDS, **ids)
@pytest.mark.parametrize("sequences", [False, True])
def test_python_based_modules_compile_in_one_graph(kind, sequences):
    module = make(kind, num_layers=2, python_based=True)
    td = TestSequences().data(module)
    td["is_init"][0, 2] = True
    td = td if sequences else td[:, 0]

    def run(td):
        with set_recurrent_mode(sequences):
            return module(td)["y"]

    compiled = torch.compile(run, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(td.copy()), run(td.copy()))


@pytest.mark.parametrize("kind", KINDS, **ids)
class TestBadInput:
    def data(self, batch=(2,), is_init=False):
        flags = torch.full((*batch, 1), is_init)
        return TensorDict(x=torch.randn(*batch, 3), is_init=flags, batch_size=batch)

    def test_lost_state(self, kind):
        module = make(kind)
        with pytest.raises(MissingKeyError, match="make_tensordict_primer"):
            module(self.data())
        with pytest.raises(MissingKeyError, match=r"td\.update"), set_recurrent_mode(True):
            module(self.data((2, 5)))
        td = module(self.data().update(module.initial_state([2])))
        assert torch.equal(td["y"], module(self.data(is_init=True).set("x", td["x"]))["y"])

    def test_absent_entries(self, kind):
        module = make(kind)
        with pytest.raises(MissingKeyError, match="Rename `in_keys`"):
            module(self.data().exclude("x"))
        with pytest.raises(MissingKeyError, match=r"Append `InitTracker\(\)`"):
            module(self.data().exclude("is_init"))

    def test_wrong_shapes(self, kind):
        module = make(kind)
        with pytest.raises(ShapeError, match=r"expected \[2, 3\]: one vector of 3 per row"):
            module(self.data().set("x", torch.zeros(2, 4)))
        with pytest.raises(ShapeError, match=r"expected \[2, 3\]"):
            module(self.data().set("x", torch.zeros(2, 5, 3)))
        with pytest.raises(ShapeError, match="one flag per row"):
            module(self.data().set("is_init", torch.zeros(2, 2, dtype=torch.bool)))
        with pytest.raises(SpecError, match=r"td\['is_init'\]\.bool\(\)"):
            module(self.data().set("is_init", torch.zeros(2, 1)))
        key = kind.state_names[-1]
        start = module.initial_state([2]).set(key, torch.zeros(2, 2, 4))
        with pytest.raises(ShapeError, match=r"expected \[2, 1, 4\].*another network"):
            module(self.data().update(start))

    def test_a_step_in_sequence_mode(self, kind):
        module = make(kind, default_recurrent_mode=True)
        with pytest.raises(ShapeError, match="add the dimension of time"):
            module(self.data(()))


@pytest.mark.parametrize("kind", KINDS, **ids)
class TestNetwork:
    def test_swaps_keep_parameters(self, kind):
        module = make(kind, num_layers=2).eval()
        parameters = dict(module.named_parameters())
        td = TensorDict(x=torch.randn(2, 3), is_init=torch.ones(2, 1, dtype=torch.bool))
        before = module(td.copy())["y"]
        assert module.make_python_based() is module
        assert module.python_based
        assert not module.net.training
        assert all(p is parameters[name] for name, p in module.named_parameters())
        torch.testing.assert_close(module(td.copy())["y"], before)
        module.make_cudnn_based()
        assert not module.python_based
        assert all(p is parameters[name] for name, p in module.named_parameters())
        assert torch.equal(module(td.copy())["y"], before)

    def test_state_dict_has_the_framework_s_names(self, kind):
        module = make(kind)
        net = getattr(module, module.net_name)
        assert set(module.state_dict()) == {
            f"{module.net_name}.{name}" for name in net.state_dict()
        }

    def test_time_first_networks(self, kind):
        modules = [
            make(kind, batch_first=flag, default_recurrent_mode=True) for flag in (True, False)
        ]
        td = TestSequences().data(modules[0])
        torch.testing.assert_close(*(module(td.copy())["y"] for module in modules))

    def test_state_spec(self, kind):
        module = make(kind, num_layers=2)
        spec = module.state_spec()
        assert list(spec.keys()) == list(kind.state_names)
        assert {leaf.shape for leaf in spec.values()} == {torch.Size([2, 4])}

    def test_selected_outputs(self, kind):
        module = make(kind)
        module.select_out_keys("y")
        td = module(TensorDict(x=torch.randn(3), is_init=torch.ones(1, dtype=torch.bool)))
        assert "y" in td
        assert "next" not in td

    def test_in_a_sequence_of_modules(self, kind):
        module = make(kind)
        policy = TensorDictSequential(module, TensorDictModule(nn.Linear(4, 2), ["y"], ["action"]))
        td = policy(TensorDict(x=torch.randn(3), is_init=torch.ones(1, dtype=torch.bool)))
        assert td["action"].shape == torch.Size([2])
        assert policy.in_keys == module.in_keys
