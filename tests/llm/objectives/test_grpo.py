import math

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from rl.core.errors import MissingKeyError, RLError, ShapeError
from rl.llm import GRPOLoss, LLMWrapperBase, TransformersWrapper
from rl.llm.testing import tiny_model

# two texts of three tokens: a prompt token, then two tokens of the answer (the second text has one)
ASSISTANT = torch.tensor([[False, True, True], [False, True, False]])
ATTENTION = torch.tensor([[True, True, True], [True, True, False]])


class Bernoulli(LLMWrapperBase):
    """A model over two tokens that says 1 with one probability everywhere."""

    def __init__(self, probability):
        super().__init__(input_mode="tokens", generate=False)
        self.logit = nn.Parameter(torch.tensor(math.log(probability / (1 - probability))))

    def _next_logits(self, tokens, attention_mask):
        zero = torch.zeros_like(tokens, dtype=torch.float32)
        return torch.stack([zero, zero + self.logit], -1)

    def _generate_rows(self, prompts):
        raise NotImplementedError

    temperature = 1.0

    def get_new_version(self, **kwargs):
        raise NotImplementedError


@pytest.fixture
def data():
    """Sampled at probability 1/2; the answers are 1, 1 and 0."""
    return TensorDict(
        {
            "tokens": {
                "prompt": torch.ones(2, 1).long(),
                "full": torch.tensor([[1, 1, 1], [1, 0, 0]]),
            },
            "masks": {"all_attention_mask": ATTENTION, "all_assistant_mask": ASSISTANT},
            "log_probs": {"full": torch.full((2, 3), 0.5).log()},
            "advantage": torch.tensor([1.0, -1.0]).view(2, 1, 1),
        },
        batch_size=[2],
    )


def test_the_loss_by_hand(data):
    loss = GRPOLoss(Bernoulli(0.55), entropy_bonus=False)(data)
    # ratios 1.1, 1.1 with advantage 1 and 0.9 with advantage -1
    assert loss.loss_objective.item() == pytest.approx(-(1.1 + 1.1 - 0.9) / 3)
    assert loss.clip_fraction == 0
    expected = -(2 * math.log(1.1) + math.log(0.9)) / 3
    assert loss.kl_approx.item() == pytest.approx(expected, abs=1e-6)
    assert loss.ESS.item() == pytest.approx(3.1**2 / (2 * 1.21 + 0.81) / 3)
    assert loss.entropy is None


def test_clipping_has_two_sides(data):
    loss = GRPOLoss(Bernoulli(0.75), clip_epsilon=(0.2, 0.3), entropy_bonus=False)(data)
    # ratios 1.5 and 0.5 become 1.3 and 0.8; all three tokens are held back
    assert loss.loss_objective.item() == pytest.approx(-(1.3 + 1.3 - 0.8) / 3)
    assert loss.clip_fraction == 1
    loss.loss_objective.backward()


def test_a_clipped_token_has_no_gradient(data):
    actor = Bernoulli(0.75)
    GRPOLoss(actor, entropy_bonus=False)(data).total().backward()
    assert actor.logit.grad == 0
    actor = Bernoulli(0.5)
    GRPOLoss(actor, entropy_bonus=False)(data).total().backward()
    assert actor.logit.grad < 0  # minimising makes 1 likelier


def test_aggregations(data):
    values = {
        mode: GRPOLoss(Bernoulli(0.55), aggregation=mode, entropy_bonus=False)(data).loss_objective
        for mode in ("token_mean", "prompt_mean", "none")
    }
    assert values["prompt_mean"].item() == pytest.approx(-(1.1 - 0.9) / 2)
    expected = torch.tensor([[0.0, -1.1, -1.1], [0.0, 0.9, 0.0]])
    torch.testing.assert_close(values["none"].detach(), expected)


def test_entropy_is_exact(data):
    loss = GRPOLoss(Bernoulli(0.5), entropy_coeff=0.1)(data)
    assert loss.entropy.item() == pytest.approx(math.log(2))
    assert loss.loss_entropy.item() == pytest.approx(-0.1 * math.log(2))


def test_penalties_for_leaving_a_reference(data):
    data["next", "ref_log_probs", "full"] = torch.full((2, 3), 0.5).log()
    loss_fn = GRPOLoss(
        Bernoulli(0.55), kl_to_ref_coeff=2.0, kl_to_inference_coeff=3.0, entropy_bonus=False
    )
    loss = loss_fn(data)

    def k3(policy):
        return 0.5 / policy - math.log(0.5 / policy) - 1

    expected = (2 * k3(0.55) + k3(0.45)) / 3
    assert loss.kl_to_ref.item() == pytest.approx(expected, abs=1e-6)
    assert loss.loss_kl_to_ref.item() == pytest.approx(2 * expected, abs=1e-6)
    assert loss.loss_kl_to_inference.item() == pytest.approx(3 * expected, abs=1e-6)
    assert loss.total().item() == pytest.approx(loss.loss_objective.item() + 5 * expected, abs=1e-6)
    assert ("next", "ref_log_probs", "full") in loss_fn.in_keys


def test_tokens_that_left_the_trust_region_are_left_out(data):
    # log ratios 0.0953 (twice) and -0.105: half their squares are 0.00454 and 0.00555
    loss = GRPOLoss(Bernoulli(0.55), kl_mask_threshold=0.005, entropy_bonus=False)(data)
    assert loss.masked_fraction.item() == pytest.approx(1 / 3)
    assert loss.loss_objective.item() == pytest.approx(-1.1)


def test_masking_strategies(data):
    counted = {
        strategy: (
            GRPOLoss(
                Bernoulli(0.5), masking_strategy=strategy, aggregation="none", entropy_bonus=False
            )(data).loss_objective
            != 0
        )
        for strategy in ("sft", "rlhf", "generic")
    }
    assert torch.equal(counted["sft"], ASSISTANT)
    assert torch.equal(counted["rlhf"], ASSISTANT)
    data["masks", "all_assistant_mask"] = torch.zeros(2, 3, dtype=torch.bool)
    loss = GRPOLoss(Bernoulli(0.5), masking_strategy="rlhf")(data)
    assert loss.total() == 0
    generic = ATTENTION.clone()
    generic[:, 0] = False  # nothing predicts the first token
    assert torch.equal(counted["generic"], generic)


def test_an_advantage_may_be_per_token(data):
    once = GRPOLoss(Bernoulli(0.55))(data)
    data["advantage"] = data["advantage"].expand(2, 3, 1).clone()
    torch.testing.assert_close(GRPOLoss(Bernoulli(0.55))(data).total(), once.total())


def test_texts_that_teach_nothing_are_counted(data):
    data["advantage"] = torch.tensor([0.0, -1.0]).view(2, 1, 1)
    assert GRPOLoss(Bernoulli(0.5))(data).zero_advantage_fraction == 0.5


def test_what_padding_holds_does_not_matter(data):
    before = GRPOLoss(Bernoulli(0.55))(data).total()
    data["log_probs", "full"][1, 2] = math.nan
    data["log_probs", "full"][:, 0] = -math.inf
    torch.testing.assert_close(GRPOLoss(Bernoulli(0.55))(data).total(), before)


def test_the_declared_keys_are_those_returned(data):
    for options in ({}, {"entropy_bonus": False, "kl_to_inference_coeff": 1.0}):
        loss = GRPOLoss(Bernoulli(0.5), **options)
        returned = {name for name, value in loss(data).items() if value is not None}
        assert set(loss.out_keys) == returned


def test_keys_can_be_renamed(data):
    loss = GRPOLoss(Bernoulli(0.5))
    loss.set_keys(advantage=("my", "advantage"))
    data["my", "advantage"] = data.pop("advantage")
    assert loss(data).total().isfinite()
    with pytest.raises(ValueError, match="advantage"):
        loss.set_keys(advantag="x")


def test_tensors_instead_of_a_tensordict(data):
    loss = GRPOLoss(Bernoulli(0.55), masking_strategy="rlhf")
    output = loss(data)
    values = loss(
        tokens_full=data["tokens", "full"],
        masks_all_attention_mask=ATTENTION,
        masks_all_assistant_mask=ASSISTANT,
        log_probs_full=data["log_probs", "full"],
        advantage=data["advantage"],
    )
    assert len(values) == len(loss.out_keys)
    for name, value in zip(loss.out_keys, values, strict=True):
        torch.testing.assert_close(value, output.get(name))
    with pytest.raises(RLError, match="Did you mean `advantage`"):
        loss(advantages=data["advantage"])


def test_coefficients_can_be_annealed(data):
    loss = GRPOLoss(Bernoulli(0.5), entropy_coeff=1.0)
    loss.entropy_coeff = 0.0
    assert loss(data).loss_entropy == 0
    assert "entropy_coeff" in loss.state_dict()


@pytest.mark.parametrize(
    ("key", "value", "error", "fix"),
    [
        (("log_probs", "full"), torch.zeros(2, 3, 1), ShapeError, "no trailing dimension"),
        (("log_probs", "full"), torch.zeros(2, 2), ShapeError, "padded as the tokens are"),
        ("advantage", torch.zeros(2, 2, 1), ShapeError, r"\[2, 1, 1\]"),
        ("advantage", None, MissingKeyError, r"MCAdvantage\(grpo_size"),
        (("log_probs", "full"), None, MissingKeyError, "return_log_probs=True"),
    ],
)
def test_data_that_do_not_align(data, key, value, error, fix):
    data = data.exclude(key) if value is None else data.set(key, value)
    with pytest.raises(error, match=fix):
        GRPOLoss(Bernoulli(0.5))(data)


def test_a_reference_that_is_missing_is_asked_for(data):
    with pytest.raises(MissingKeyError, match="reference model"):
        GRPOLoss(Bernoulli(0.5), kl_to_ref_coeff=0.1)(data)


@pytest.mark.parametrize(
    ("options", "fix"),
    [
        ({"aggregation": "token"}, "Did you mean `token_mean`"),
        ({"masking_strategy": "rlhf2"}, "Did you mean `rlhf`"),
        ({"clip_epsilon": (1.5, 0.2)}, r"\(low, high\)"),
        ({"clip_epsilon": -0.1}, r"\(low, high\)"),
    ],
)
def test_options_are_checked(options, fix):
    with pytest.raises(RLError, match=fix):
        GRPOLoss(Bernoulli(0.5), **options)


def test_a_fresh_batch_has_ratio_one_whatever_its_padding(tokenizer, chats):
    policies = [
        TransformersWrapper(
            tiny_model(tokenizer),
            tokenizer=tokenizer,
            pad_output=pad,
            generate_kwargs={"max_new_tokens": 8, "temperature": 0.8},
        )
        for pad in (True, False)
    ]
    totals = []
    for policy in policies:
        torch.manual_seed(0)
        batch = policy(chats.clone())
        batch["advantage"] = torch.tensor([1.0, -2.0]).view(2, 1, 1)
        loss = GRPOLoss(policy)(batch)
        assert loss.ESS.item() == pytest.approx(1, abs=1e-4)
        assert loss.kl_approx.item() == pytest.approx(0, abs=1e-5)
        totals.append(loss.total())
    torch.testing.assert_close(*totals, atol=1e-5, rtol=0)


def test_the_loss_owns_the_parameters_of_the_actor(make_policy):
    policy = make_policy()
    ours = {id(p) for p in GRPOLoss(policy).parameters()}
    assert ours == {id(p) for p in policy.parameters()}
