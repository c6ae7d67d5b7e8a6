import pytest
import torch

from rl.core.checkpoint import Checkpoint, StateDictCheckpointAdapter, load_state, save_state
from rl.core.errors import CheckpointError


@pytest.mark.parametrize("container", ["directory", "archive"])
def test_of_a_checkpoint_the_states_by_name(container, tmp_path):
    layer = torch.nn.Linear(2, 1)
    checkpoint = Checkpoint(format=container, layer=layer, n=[1, (2,)])
    adapter = StateDictCheckpointAdapter("consolidated")
    checkpoint.register("optim", torch.optim.SGD(layer.parameters(), 0.5), adapter=adapter)
    state = load_state(checkpoint.save(tmp_path / "saved"))
    assert list(state) == ["layer", "n", "optim"]
    assert torch.equal(state["layer"]["weight"], layer.weight)
    assert state["n"] == [1, (2,)]
    assert state["optim"]["param_groups"][0]["lr"] == 0.5
    assert load_state(tmp_path / "saved", device="meta")["layer"]["bias"].is_meta


def test_of_files_that_only_their_adapter_reads_it_says_so(tmp_path):
    class Folder:
        def dump(self, path):
            (path / "x").write_text("x")

        def load(self, path):
            pass

    path = Checkpoint(folder=Folder()).save(tmp_path)
    with pytest.raises(CheckpointError, match="Load it with a `Checkpoint` that has this adapter"):
        load_state(path)


def test_damage_is_found_before_anything_is_returned(tmp_path):
    Checkpoint(a={}, b={}).save(tmp_path)
    (victim,) = tmp_path.glob("components-*/0001-b/value.json")
    victim.write_text("[]")
    with pytest.raises(CheckpointError, match=r"field `components.b.files.value.json.sha256`"):
        load_state(tmp_path)


def test_a_plain_state_is_no_checkpoint(tmp_path):
    save_state(tmp_path, {"a": {"x": 1}})
    value = {}
    with pytest.raises(CheckpointError, match="Read it with `load_state`"):
        Checkpoint(a=value).load(tmp_path)
    Checkpoint(a=value).load_state_dict(load_state(tmp_path))
    assert value == {"x": 1}
