import pytest

from rl.core import NotRegisteredError
from rl.data import (
    DATASETS,
    AtariDQNExperienceReplay,
    D4RLExperienceReplay,
    GenDGRLExperienceReplay,
    LeRobotExperienceReplay,
    MinariExperienceReplay,
    OpenMLExperienceReplay,
    OpenXExperienceReplay,
    RobosetExperienceReplay,
    VD4RLExperienceReplay,
    load_dataset,
    register_dataset,
)
from rl.data.datasets.registry import _resolved

BUILT_IN = {
    "atari": AtariDQNExperienceReplay,
    "atari_dqn": AtariDQNExperienceReplay,
    "d4rl": D4RLExperienceReplay,
    "gen_dgrl": GenDGRLExperienceReplay,
    "lerobot": LeRobotExperienceReplay,
    "minari": MinariExperienceReplay,
    "openml": OpenMLExperienceReplay,
    "openx": OpenXExperienceReplay,
    "roboset": RobosetExperienceReplay,
    "vd4rl": VD4RLExperienceReplay,
}


@pytest.mark.parametrize("prefix", BUILT_IN)
def test_the_sources_are_registered(prefix):
    assert _resolved(prefix) is BUILT_IN[prefix]
    assert prefix in {BUILT_IN[prefix].source, "atari"}


def test_a_dataset_is_loaded_by_name(tmp_path):
    raw = tmp_path / "magic" / "raw"
    raw.mkdir(parents=True)
    (raw / "x.arff").write_text("@attribute a real\n@attribute class: {g,h}\n@data\n1,g\n")
    assert len(load_dataset("openml:magic", root=tmp_path)) == 1


@pytest.fixture
def mine():
    register_dataset("mine", dict)
    yield
    DATASETS.unregister("mine")


def test_own_sources(mine):
    with pytest.raises(ValueError, match="pass `replace=True`"):
        register_dataset("mine", list)
    register_dataset("mine", lambda name, **options: (name, options), replace=True)
    assert load_dataset("mine:a:b", x=1) == ("a:b", {"x": 1})
    register_dataset("mine", "pathlib:PurePath", replace=True)
    assert load_dataset("mine:a").name == "a"
    register_dataset("mine", "pathlib:PurPath", replace=True)
    with pytest.raises(NotRegisteredError, match="Did you mean `PurePath`"):
        load_dataset("mine:a")


@pytest.mark.parametrize("name", ["hopper", "d4rl:", ""])
def test_names_without_a_source(name):
    with pytest.raises(ValueError, match="expected `<source>:<name>`"):
        load_dataset(name)


def test_unknown_sources_suggest_the_nearest():
    with pytest.raises(NotRegisteredError, match="Did you mean `minari`"):
        load_dataset("minary:x")
    with pytest.raises(ValueError, match="a name without a colon"):
        register_dataset("a:b", dict)
