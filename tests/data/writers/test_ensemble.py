import pytest

from rl.data import ListStorage, RoundRobinWriter, WriterEnsemble


def test_it_counts_and_resumes_its_members():
    writers = [RoundRobinWriter(), RoundRobinWriter()]
    for writer, items in zip(writers, (["a"], ["b", "c"]), strict=True):
        writer.register_storage(ListStorage(5))
        writer.extend(items)
    ensemble = WriterEnsemble(*writers)
    assert (len(ensemble), ensemble.write_count, ensemble[1].cursor) == (2, 3, 2)
    other = WriterEnsemble(RoundRobinWriter(), RoundRobinWriter())
    other.load_state_dict(ensemble.state_dict())
    assert [writer.cursor for writer in other.writers] == [1, 2]


def test_it_is_not_written():
    with pytest.raises(RuntimeError, match="through its members"):
        WriterEnsemble(RoundRobinWriter()).extend([1])
