import pytest

from rl.core.checkpoint import Checkpoint, DumpLoadCheckpointAdapter
from rl.core.errors import CheckpointError


class Dumps:
    """Writes by `dumps` and reads by `loads`; has a state too, which is not asked for."""

    def __init__(self, text):
        self.text = text

    def dumps(self, path):
        (path / "text").write_text(self.text)

    def loads(self, path):
        self.text = (path / "text").read_text()

    def state_dict(self):
        raise AssertionError("the files are enough")

    load_state_dict = state_dict


class Both(Dumps):
    def dump(self, path):
        (path / "text").write_text("by dump")

    def load(self, path):
        super().loads(path)


def test_objects_write_their_own_files(tmp_path):
    path = Checkpoint(x=Dumps("hello"), y=Both("hello")).save(tmp_path)
    x, y = Dumps(""), Both("")
    result = Checkpoint(x=x, y=y).load(path)
    assert (x.text, y.text) == ("hello", "by dump")
    assert result.values == {}
    assert {e["adapter"] for e in result.manifest["components"].values()} == {"rl.dump_load"}


def test_an_object_that_breaks_while_it_loads_is_brought_back(tmp_path):
    class Breaks(Dumps):
        def loads(self, path):
            super().loads(path)
            if self.text == "new":
                raise ValueError("too new.")

    Checkpoint(first=Dumps("new"), x=Dumps("new")).save(tmp_path)
    first, x = Dumps("old"), Breaks("old")
    with pytest.raises(CheckpointError, match="`x` refuses its saved state, nothing was loaded"):
        Checkpoint(first=first, x=x).load(tmp_path)
    assert (first.text, x.text) == ("old", "old")


def test_objects_without_the_methods_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="register it with another adapter"):
        DumpLoadCheckpointAdapter().save(object(), tmp_path, args=(), kwargs={})
