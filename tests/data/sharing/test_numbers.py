from dataclasses import fields

from rl.data.sharing.numbers import Numbers, SharedNumbers


def test_a_change_is_seen_by_who_maps_the_file(tmp_path):
    mine = SharedNumbers(tmp_path / "n", fresh=True)
    other = SharedNumbers(tmp_path / "n")
    assert other.read() == Numbers()
    mine.change(rows=3, cursor=1)
    other.change(total=9)
    assert (mine.read().rows, mine.read().cursor, mine.read().total) == (3, 1, 9)
    assert mine.read().version == 2


def test_a_change_is_there_whole_or_not_at_all(tmp_path):
    """Whatever number of its words a process has written when it dies."""
    for words in range(len(fields(Numbers)) + 1):
        numbers = SharedNumbers(tmp_path / f"n{words}", fresh=True)
        numbers.change(rows=1, cursor=1)
        before = numbers.read()
        active = int(numbers._words[0])
        numbers._place(1 - active)[:words] = 77  # dies before the word that says which holds
        assert SharedNumbers(tmp_path / f"n{words}").read() == before
