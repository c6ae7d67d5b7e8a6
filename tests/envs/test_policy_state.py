"""Recurrent policies: their state is wired, recorded and reproduced over sequences."""

from functools import partial

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule, TensorDictSequential
from torch import nn

from rl.core import (
    Compose,
    ExplorationType,
    GRUModule,
    LSTMModule,
    MissingKeyError,
    OneHotCategorical,
    ProbabilisticActor,
    SpecError,
    Transform,
    Unbounded,
    get_env_transforms_from_module,
    get_primers_from_module,
    set_exploration_type,
    set_recurrent_mode,
)
from rl.envs import InitTracker, SerialEnv, SingleCollector, TensorDictPrimer, TransformedEnv
from rl.envs.policy_state import with_policy_state
from rl.envs.testing import CountingEnv, NestedCountingEnv
from rl.envs.transforms import StepCounter

KINDS = [LSTMModule, GRUModule]


def actor(kind=GRUModule, **settings):
    torch.manual_seed(0)
    memory = kind(1, 8, **{"in_key": "observation", "out_key": "features", **settings})
    head = TensorDictModule(nn.Linear(8, 2), ["features"], ["logits"])
    return ProbabilisticActor(
        TensorDictSequential(memory, head),
        in_keys=["logits"],
        distribution_class=OneHotCategorical,
        return_log_prob=True,
    )


def reevaluate(policy, batch):
    """The policy's results over the sequences of a batch, from what the env wrote."""
    with torch.no_grad(), set_recurrent_mode(True):
        return policy(batch.exclude("features", "logits", "action", "next"))


class TestWiring:
    @pytest.mark.parametrize("kind", KINDS)
    def test_the_env_gets_what_it_lacks(self, kind):
        env, policy = CountingEnv(batch_size=(3,)), actor(kind, num_layers=2)
        wired = with_policy_state(env, policy)
        root = wired.reset()
        assert root["is_init"].all()
        for key in kind.state_names:
            assert root[key].shape == torch.Size([3, 2, 8])
            assert not root[key].any()
        assert wired.base_env is env
        assert list(env.reset().keys()) == ["observation", "done", "terminated", "truncated"]

    def test_only_what_it_lacks(self):
        policy = actor()
        half = TransformedEnv(CountingEnv(), InitTracker())
        wired = with_policy_state(half, policy)
        assert [type(t) for t in wired.transform] == [TensorDictPrimer]
        assert with_policy_state(wired, policy) is wired
        whole = TransformedEnv(CountingEnv(), get_env_transforms_from_module(policy))
        assert with_policy_state(whole, policy) is whole

    def test_policies_without_a_memory(self):
        env = CountingEnv()
        for policy in (None, lambda td: td, nn.Linear(1, 2)):
            assert with_policy_state(env, policy) is env

    def test_states_of_inner_transforms_stay_shared(self):
        class Counted(StepCounter):
            resets = 0

            def _reset(self, tensordict, tensordict_reset):
                self.resets += 1
                return super()._reset(tensordict, tensordict_reset)

        inner = TransformedEnv(CountingEnv(), Counted())
        inner.rollout(3, actor())
        assert inner.transform.resets == 1

    def test_two_states_under_one_key(self):
        twice = TensorDictSequential(actor()[0][0], actor()[0][0])
        with pytest.raises(SpecError, match="its own `in_keys`"):
            with_policy_state(CountingEnv(), twice)

    def test_a_flag_where_the_env_has_none(self):
        memory = GRUModule(
            1,
            8,
            in_keys=[("agents", "observation"), "h", ("agents", "is_init")],
            out_key="features",
        )
        with pytest.raises(MissingKeyError, match=r"done flags at \['done'"):
            with_policy_state(NestedCountingEnv(), memory)

    def test_a_module_of_ones_own_declares_its_state(self):
        class Sum(nn.Module):
            def forward(self, observation, total):
                total = total + observation
                return total, torch.tensor([1, 0]).expand(*observation.shape[:-1], 2)

            def make_tensordict_primer(self):
                return TensorDictPrimer(total=Unbounded((1,)), expand_specs=True)

        policy = TensorDictModule(Sum(), ["observation", "total"], [("next", "total"), "action"])
        batch = CountingEnv(4).rollout(6, policy, break_when_any_done=False)
        assert batch["total"].flatten().tolist() == [0, 0, 1, 3, 0, 0]
        assert batch["next", "total"].flatten().tolist() == [0, 1, 3, 6, 0, 1]

    def test_undeclared_state(self):
        class Cell(nn.Module):
            def forward(self, observation, hidden):
                return observation, hidden

        policy = TensorDictModule(Cell(), ["observation", "hidden"], ["action", ("next", "hidden")])
        for run in (
            lambda env: env.rollout(2, policy),
            lambda env: SingleCollector(env, policy, frames_per_batch=2),
        ):
            with pytest.raises(MissingKeyError, match=r"`hidden`.*It is a state.*TensorDictPrimer"):
                run(CountingEnv())


class TestTransforms:
    def test_primers(self):
        policy = actor(num_layers=2)
        primer = get_primers_from_module(policy)
        assert isinstance(primer, TensorDictPrimer)
        assert primer.primers["recurrent_state"].shape == torch.Size([2, 8])
        two = TensorDictSequential(policy, LSTMModule(1, 2, in_key="observation", out_key="y"))
        both = get_primers_from_module(two)
        assert isinstance(both, Compose)
        root = TransformedEnv(CountingEnv(), both).reset()
        assert {"recurrent_state", "recurrent_state_h", "recurrent_state_c"} <= set(root.keys())

    def test_env_transforms(self):
        policy = actor()
        kinds = [type(t) for t in get_env_transforms_from_module(policy)]
        assert kinds == [InitTracker, TensorDictPrimer]
        assert isinstance(get_env_transforms_from_module(nn.Linear(1, 1)), InitTracker)

    def test_the_primer_follows_the_network_s_dtype(self):
        memory = GRUModule(1, 8, in_key="observation", out_key="features").double()
        primed = TransformedEnv(CountingEnv(), memory.make_tensordict_primer())
        assert primed.reset()["recurrent_state"].dtype == torch.float64


class TestRollouts:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("settings", [{}, {"num_layers": 2}, {"python_based": True}], ids=str)
    def test_sequences_give_what_the_steps_gave(self, kind, settings):
        policy = actor(kind, **settings)
        env = CountingEnv(4, batch_size=(3,))
        with torch.no_grad():
            batch = env.rollout(10, policy, break_when_any_done=False)
        again = reevaluate(policy, batch)
        torch.testing.assert_close(again["logits"], batch["logits"], atol=1e-5, rtol=1e-5)

    def test_the_memory_is_emptied_at_resets_only(self):
        batch = CountingEnv(3).rollout(7, actor(), break_when_any_done=False)
        empty = (batch["recurrent_state"] == 0).flatten(1).all(1)
        assert empty.tolist() == [True, False, False, True, False, False, True]
        assert batch["is_init"].flatten().tolist() == empty.tolist()
        # within a trajectory, a step starts from what the one before wrote
        torch.testing.assert_close(
            batch["recurrent_state"][[1, 2]], batch["next", "recurrent_state"][[0, 1]]
        )

    def test_envs_that_stand_still_keep_their_state(self):
        class Uneven(CountingEnv):
            def _step(self, tensordict):
                following = super()._step(tensordict)
                over = self.count >= torch.tensor([[2.0], [5.0]])
                return following.update({"done": over, "terminated": over.clone()})

        policy = actor()
        batch = Uneven(9, batch_size=(2,)).rollout(8, policy, break_when_all_done=True)
        assert batch.shape == torch.Size([2, 5])
        torch.testing.assert_close(
            batch["recurrent_state"][1, 1:], batch["next", "recurrent_state"][1, :-1]
        )

    def test_going_on_from_a_root(self):
        env, policy = CountingEnv(9), actor()
        batch = env.rollout(3, policy)
        root = with_policy_state(env, policy).step_mdp(batch[-1])
        more = env.rollout(2, policy, auto_reset=False, tensordict=root)
        torch.testing.assert_close(more["recurrent_state"][0], batch["next", "recurrent_state"][-1])
        lost = root.exclude("recurrent_state")
        with pytest.raises(MissingKeyError, match="`recurrent_state`"):
            env.rollout(2, policy, auto_reset=False, tensordict=lost)


class Plain(Transform):
    """Does nothing; a vector env keeps it, and what is beside it, inside."""


class TestPrimersInside:
    """The user primes each env of a vector env, whose workers never see what a policy writes."""

    @staticmethod
    def make(length=4, extra=Plain):
        env = TransformedEnv(CountingEnv(length), get_env_transforms_from_module(actor()))
        return env.append_transform(extra())

    @pytest.mark.parametrize("extra", [Plain, partial(StepCounter, 100)], ids=["inside", "hoisted"])
    def test_the_state_arrives(self, extra):
        policy = actor()
        env = SerialEnv(2, [partial(self.make, length, extra) for length in (3, 4)])
        assert with_policy_state(env, policy) is env
        with torch.no_grad():
            batch = env.rollout(10, policy, break_when_any_done=False)
        again = reevaluate(policy, batch)
        torch.testing.assert_close(again["logits"], batch["logits"], atol=1e-5, rtol=1e-5)
        begins = (batch["recurrent_state"] == 0).flatten(2).all(-1)
        assert torch.equal(begins, batch["is_init"].squeeze(-1))

    def test_single_steps(self):
        policy, env = actor(), SerialEnv(2, self.make)
        td = env.step(policy(env.reset()))
        state = td["next", "recurrent_state"]
        assert state.any()
        following = policy(env.step_mdp(td))
        mask = torch.tensor([True, False])
        written = following["next", "recurrent_state"].clone()
        stepped = env.step(following.set("_step", mask))["next", "recurrent_state"]
        assert torch.equal(stepped[0], written[0])
        assert torch.equal(stepped[1], state[1])


class TestCollectors:
    @pytest.mark.parametrize("kind", KINDS)
    def test_sequences_give_what_was_collected(self, kind):
        env = SerialEnv(3, [partial(CountingEnv, length) for length in (3, 4, 7)])
        policy = actor(kind)
        collector = SingleCollector(env, policy, frames_per_batch=30, total_frames=90)
        before = None
        for batch in collector:
            assert batch.shape == torch.Size([3, 10])
            again = reevaluate(policy, batch)
            torch.testing.assert_close(again["logits"], batch["logits"], atol=1e-5, rtol=1e-5)
            if before is not None:  # trajectories go on over the batches
                goes_on = ~batch["is_init"][:, 0, 0]
                assert goes_on.any()
                torch.testing.assert_close(
                    batch[kind.state_names[0]][goes_on, 0],
                    before["next", kind.state_names[0]][goes_on, -1],
                )
            before = batch
        assert "is_init" not in env.reset()

    def test_random_frames_first(self):
        collector = SingleCollector(
            CountingEnv(3), actor(), frames_per_batch=4, init_random_frames=4, total_frames=8
        )
        random, acted = collector
        assert set(acted.keys(True)) == set(random.keys(True))
        assert {"features", "logits", "action_log_prob"} <= set(acted.keys())
        again = reevaluate(collector.policy, acted)
        torch.testing.assert_close(again["logits"], acted["logits"], atol=1e-5, rtol=1e-5)

    def test_exact_resume(self):
        policy = actor()

        def make():
            return SingleCollector(SerialEnv(2, lambda: CountingEnv(4)), policy, frames_per_batch=6)

        whole = make()
        whole.next()
        state, generator = whole.state_dict(), torch.get_rng_state()
        state = {**state, "root": state["root"].clone()}
        assert state["root"]["recurrent_state"].any()
        expected = whole.next()
        resumed = make()
        resumed.load_state_dict(state)
        torch.set_rng_state(generator)
        batch = resumed.next()
        assert set(batch.keys(True, True)) == set(expected.keys(True, True))
        for key in expected.keys(True, True):
            assert torch.equal(batch[key], expected[key]), key

    def test_slices_go_through_as_if_alone(self):
        env = CountingEnv(4, batch_size=(2,))
        policy = actor()
        with torch.no_grad(), set_exploration_type(ExplorationType.DETERMINISTIC):
            batch = env.rollout(12, policy, break_when_any_done=False)
        flat = torch.cat([batch[0, 2:7], batch[1, 5:9]])
        flat["is_init"][[0, 5]] = True
        again = reevaluate(policy, flat)
        torch.testing.assert_close(again["logits"], flat["logits"], atol=1e-5, rtol=1e-5)


def test_a_flag_under_another_name():
    memory = GRUModule(1, 8, in_keys=["observation", "h", "first"], out_key="features")
    root = with_policy_state(CountingEnv(), memory).reset()
    assert "first" in root
    assert "h" in root
    with pytest.raises(SpecError, match='`init_key="first"`'):
        get_env_transforms_from_module(memory)
    assert isinstance(get_env_transforms_from_module(memory, init_key="first"), Compose)
    td = memory(TensorDict(root.to_dict()))
    assert td["features"].shape == torch.Size([8])
