from rl.core.checkpoint import CheckpointOptions


def test_keywords_are_joined_and_positions_replaced():
    fixed = CheckpointOptions((1, 2), {"a": 1, "b": 1}, None, {"c": 1})
    assert fixed.merged(None) is fixed
    merged = fixed.merged(CheckpointOptions(save_kwargs={"b": 2}, load_args=(3,)))
    assert merged == CheckpointOptions((1, 2), {"a": 1, "b": 2}, (3,), {"c": 1})
    assert fixed.merged(CheckpointOptions(save_args=())).save_args == ()
