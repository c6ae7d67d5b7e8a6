from tensordict.nn import InteractionType, set_interaction_type

from rl.core.modules import (
    ExplorationType,
    exploration_type,
    set_exploration_type,
)


def test_modes_are_tensordicts():
    assert ExplorationType is InteractionType
    with set_interaction_type(InteractionType.MODE):
        assert exploration_type() is ExplorationType.MODE
    with set_exploration_type(ExplorationType.RANDOM):
        assert exploration_type() is InteractionType.RANDOM
