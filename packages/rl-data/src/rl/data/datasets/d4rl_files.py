"""Which file on D4RL's server holds which dataset."""

from __future__ import annotations

__all__ = ["D4RL_FILES"]


def _mujoco() -> dict[str, str]:
    found = {}
    kinds = {"random", "medium", "expert", "medium-replay", "medium-expert", "full-replay"}
    for name in ("halfcheetah", "hopper", "walker2d", "ant"):
        for kind in kinds:
            file = kind.replace("-", "_")
            for version in ("v1", "v2"):
                path = f"gym_mujoco_{version}/{name}_{file}-{version}.hdf5"
                found[f"{name}-{kind}-{version}"] = path
        for kind in kinds - {"full-replay", "medium-replay"}:
            found[f"{name}-{kind}-v0"] = f"gym_mujoco/{name}_{kind.replace('-', '_')}.hdf5"
        # the first version calls replay data mixed
        found[f"{name}-medium-replay-v0"] = f"gym_mujoco/{name}_mixed.hdf5"
    return found


def _maze2d() -> dict[str, str]:
    found = {"maze2d-open-v0": "sparse", "maze2d-open-dense-v0": "dense"}
    found = {name: f"maze2d/maze2d-open-{kind}.hdf5" for name, kind in found.items()}
    for size in ("umaze", "medium", "large", "eval-umaze", "eval-medium", "eval-large"):
        found[f"maze2d-{size}-v1"] = f"maze2d/maze2d-{size}-sparse-v1.hdf5"
        found[f"maze2d-{size}-dense-v1"] = f"maze2d/maze2d-{size}-dense-v1.hdf5"
    return found


def _antmaze() -> dict[str, str]:
    mazes = {
        "umaze": ("u-maze", False),
        "umaze-diverse": ("u-maze", True),
        "medium-play": ("big-maze", False),
        "medium-diverse": ("big-maze", True),
        "large-play": ("hardest-maze", False),
        "large-diverse": ("hardest-maze", True),
    }
    found = {}
    for name, (maze, diverse) in mazes.items():
        several = name != "umaze"
        flags = f"multistart_{several}_multigoal_{diverse}"
        for version, folder, end in (
            ("v0", "ant_maze_new", ""),
            ("v1", "ant_maze_v1", ""),
            ("v2", "ant_maze_v2", "_fixed"),
        ):
            path = f"{folder}/Ant_maze_{maze}_noisy_{flags}_sparse{end}.hdf5"
            found[f"antmaze-{name}-{version}"] = path
    return found


def _adroit() -> dict[str, str]:
    found = {}
    for task in ("pen", "hammer", "relocate", "door"):
        found[f"{task}-human-v0"] = f"hand_dapg/{task}-v0_demos_clipped.hdf5"
        found[f"{task}-expert-v0"] = f"hand_dapg/{task}-v0_expert_clipped.hdf5"
        found[f"{task}-cloned-v0"] = f"hand_dapg/{task}-demos-v0-bc-combined.hdf5"
        for kind in ("human", "expert", "cloned"):
            found[f"{task}-{kind}-v1"] = f"hand_dapg_v1/{task}-{kind}-v1.hdf5"
    return found


D4RL_FILES: dict[str, str] = {
    **_mujoco(),
    **_maze2d(),
    **_antmaze(),
    **_adroit(),
    "carla-lane-v0": "carla/carla_lane_follow_flat-v0.hdf5",
    "carla-town-v0": "carla/carla_town_subsamp_flat-v0.hdf5",
    "carla-town-full-v0": "carla/carla_town_flat-v0.hdf5",
    "flow-merge-controller-v0": "flow/flow-merge-v0-controller.hdf5",
    "flow-merge-random-v0": "flow/flow-merge-v0-random.hdf5",
    "flow-ring-controller-v0": "flow/flow-ring-v0-controller.hdf5",
    "flow-ring-random-v0": "flow/flow-ring-v0-random.hdf5",
    "kitchen-complete-v0": "kitchen/mini_kitchen_microwave_kettle_light_slider-v0.hdf5",
    "kitchen-mixed-v0": "kitchen/kitchen_microwave_kettle_bottomburner_light-v0.hdf5",
    "kitchen-partial-v0": "kitchen/kitchen_microwave_kettle_light_slider-v0.hdf5",
    "minigrid-fourrooms-random-v0": "minigrid/minigrid4rooms_random.hdf5",
    "minigrid-fourrooms-v0": "minigrid/minigrid4rooms.hdf5",
}
"""Path below the server's folder, by dataset. The files were not fetched to check the table."""
