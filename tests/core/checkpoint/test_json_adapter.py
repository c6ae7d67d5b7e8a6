import pytest

from rl.core.checkpoint import Checkpoint, JSONCheckpointAdapter
from rl.core.errors import CheckpointError


def test_dicts_and_lists_are_restored_in_place(tmp_path):
    config, steps = {"lr": 0.1, "net": {"sizes": (2, 3)}}, [1, 2]
    Checkpoint(config=config, steps=steps, n=3, name="a").save(tmp_path)
    other, others = {"lr": 0.2, "gone": 1}, [9, 9, 9]
    inner = Checkpoint(config=other, steps=others, n=0, name=None)
    values = inner.load(tmp_path).values
    assert other == config
    assert others == steps
    assert values == {"config": config, "steps": steps, "n": 3, "name": "a"}
    assert inner.components["n"] == 0  # what cannot be changed is in `values` alone


@pytest.mark.parametrize(("saved", "component"), [(1, {}), ([1], {}), ({}, [1])])
def test_another_kind_of_value_is_refused(saved, component, tmp_path):
    Checkpoint(x=saved).save(tmp_path)
    before = str(component)
    with pytest.raises(CheckpointError, match=r"The saved value is a .*, the component a"):
        Checkpoint(x=component).load(tmp_path)
    assert str(component) == before


def test_values_take_no_arguments(tmp_path):
    with pytest.raises(CheckpointError, match="leave its `CheckpointOptions` out"):
        JSONCheckpointAdapter().save({}, tmp_path, args=(1,), kwargs={})
