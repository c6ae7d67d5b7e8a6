from rl.data import D4RLExperienceReplay
from rl.data.datasets.d4rl_files import D4RL_FILES


def test_names_and_files():
    assert D4RL_FILES["maze2d-open-v0"] == "maze2d/maze2d-open-sparse.hdf5"
    path = "gym_mujoco_v2/halfcheetah_medium_replay-v2.hdf5"
    assert D4RL_FILES["halfcheetah-medium-replay-v2"] == path
    assert D4RL_FILES["hopper-medium-replay-v0"] == "gym_mujoco/hopper_mixed.hdf5"
    maze = "Ant_maze_big-maze_noisy_multistart_True_multigoal_False_sparse_fixed"
    assert D4RL_FILES["antmaze-medium-play-v2"] == f"ant_maze_v2/{maze}.hdf5"
    assert D4RL_FILES["pen-human-v1"] == "hand_dapg_v1/pen-human-v1.hdf5"
    assert len(set(D4RL_FILES.values())) == len(D4RL_FILES)
    assert set(D4RLExperienceReplay.available_datasets) == set(D4RL_FILES)
