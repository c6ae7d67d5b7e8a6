import enum
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from rl.core.errors import CheckpointError
from rl.core.runs.config import config_from_json, config_to_json


class Mode(enum.Enum):
    FAST = 1
    SLOW = 2


@dataclass
class Inner:
    sizes: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Config:
    name: str = "x"
    lr: float | None = None
    kind: Literal["a", "b"] = "a"
    folder: Path = Path("runs")
    maybe: Path | None = None
    mode: Mode = Mode.FAST
    inner: Inner = field(default_factory=Inner)
    other: Inner | None = None
    table: dict[str, float] = field(default_factory=dict)
    either: int | str = 1


def test_a_config_round_trips_through_json():
    config = Config(
        lr=1e-3,
        kind="b",
        maybe=Path("a/b"),
        mode=Mode.SLOW,
        inner=Inner((5,)),
        other=Inner((7, 8)),
        table={"x": 1.0},
        either="y",
    )
    content = json.loads(json.dumps(config_to_json(config)))
    assert config_from_json(Config, content) == config


def test_defaults_fill_what_is_absent():
    assert config_from_json(Config, {}) == Config()


def test_an_unknown_field_suggests_the_nearest():
    with pytest.raises(CheckpointError, match="Did you mean `folder`"):
        config_from_json(Config, {"foldr": "x"})


def test_what_json_cannot_hold_names_the_field():
    with pytest.raises(TypeError, match="Config field `table` holds a object"):
        config_to_json(Config(table={"x": object()}))
