from types import SimpleNamespace

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from rl.core.errors import RLError
from rl.core.modules import LMHeadActorValueOperator


class Trunk(nn.Module):
    """Mean of the embeddings that are not masked, up to each token."""

    def __init__(self, form):
        super().__init__()
        self.embed, self.form = nn.Embedding(10, 4), form

    def forward(self, input_ids, attention_mask):
        hidden = self.embed(input_ids) * attention_mask.unsqueeze(-1)
        hidden = hidden.cumsum(-2)
        return self.form(hidden)


FORMS = {
    "tensor": lambda h: h,
    "tuple": lambda h: (h, None),
    "output": lambda h: SimpleNamespace(last_hidden_state=h),
}


def model(form="tensor"):
    out = nn.Module()
    out.transformer, out.lm_head = Trunk(FORMS[form]), nn.Linear(4, 10, bias=False)
    return out


def data():
    ids = torch.randint(10, (3, 5))
    return TensorDict(input_ids=ids, attention_mask=torch.ones_like(ids), batch_size=[3])


@pytest.mark.parametrize("form", FORMS)
def test_policy_and_value_of_the_last_token(form):
    base = model(form)
    both = LMHeadActorValueOperator(base)
    td = both(data())
    hidden = base.transformer.embed(td["input_ids"]).sum(-2)
    torch.testing.assert_close(td["logits"], base.lm_head(hidden))
    assert td["action"].sum(-1).eq(1).all()
    log_prob = (td["logits"].log_softmax(-1) * td["action"]).sum(-1)
    torch.testing.assert_close(td["action_log_prob"], log_prob)
    assert td["state_value"].shape == (3, 1)


def test_draws_by_default():
    both, td = LMHeadActorValueOperator(model()), data()
    draws = torch.stack([both(td.clone())["action"] for _ in range(30)])
    assert draws.any(0).sum(-1).gt(1).all()


def test_parts():
    base = model()
    both = LMHeadActorValueOperator(base)
    assert both.get_policy_operator().in_keys == ["input_ids", "attention_mask"]
    assert "state_value" not in both.get_policy_operator()(data())
    assert "action" not in both.get_value_operator()(data())
    assert base.lm_head.weight in set(both.parameters()), "the head is shared, not copied"


def test_other_modules_are_named():
    with pytest.raises(RLError, match="causal language model with these two attributes"):
        LMHeadActorValueOperator(nn.Linear(2, 2))
