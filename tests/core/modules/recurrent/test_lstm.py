import pytest
import torch
from tensordict import TensorDict

from rl.core.modules import LSTMModule, set_recurrent_mode


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("settings", [{}, {"python_based": True}, {"recurrent_backend": "scan"}])
def test_projection(settings):
    torch.manual_seed(0)
    module = LSTMModule(3, 4, 2, proj_size=2, in_key="x", out_key="y", **settings)
    x, carried, outs = torch.randn(5, 6, 3), module.initial_state([5]), []
    for t in range(6):
        flag = torch.full((5, 1), t == 3)
        td = module(TensorDict(x=x[:, t], is_init=flag, batch_size=[5]).update(carried))
        carried = td["next"]
        outs.append(td["y"])
    assert outs[0].shape == torch.Size([5, 2])
    is_init = torch.zeros(5, 6, 1, dtype=torch.bool)
    is_init[:, 3] = True
    td = TensorDict(x=x, is_init=is_init, batch_size=[5, 6]).update(module.initial_state([5, 6]))
    with set_recurrent_mode(True):
        result = module(td)
    torch.testing.assert_close(result["y"], torch.stack(outs, 1), atol=1e-6, rtol=1e-5)
