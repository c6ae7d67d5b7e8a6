import torch

from rl.llm import GRPOLossOutput, LLMLossOutput


def test_the_total_sums_the_losses_alone():
    output = GRPOLossOutput(
        loss_objective=torch.tensor(1.0, requires_grad=True),
        loss_kl_to_ref=torch.tensor(2.0),
        kl_to_ref=torch.tensor(100.0),
        ESS=torch.tensor(0.5),
    )
    assert output.total() == 3
    assert output.total().requires_grad
    assert output.metrics() == {
        "loss_objective": 1.0,
        "loss_kl_to_ref": 2.0,
        "kl_to_ref": 100.0,
        "ESS": 0.5,
    }
    assert isinstance(output, LLMLossOutput)
