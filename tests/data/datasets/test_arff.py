import numpy as np
import pytest

from rl.data.datasets.arff import read_arff
from rl.data.datasets.error import DatasetError

TABLE = r"""% a comment
@RELATION 'a table'
@ATTRIBUTE age NUMERIC
@attribute 'work class' { Private, 'Self emp', "x", 'it\'s' }
@attribute y {0,1}

@DATA
% another
25, Private, 1
?, 'Self emp', 0

3e1,'it\'s',?
"""


def test_columns_are_numbers_and_codes():
    age, work, y = read_arff(TABLE, "it")
    assert (age.name, work.name, y.name) == ("age", "work class", "y")
    assert age.categories is None
    assert np.array_equal(age.values, [25, np.nan, 30], equal_nan=True)
    assert work.categories[1] == "Self emp"
    assert work.values.tolist() == [0, 1, 3]
    assert y.values.tolist() == [1, 0, -1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("@attribute a real\n1", "it has no `@data`"),
        ("@attribute a\n@data\n1", "is no attribute"),
        ("@attribute a string\n@data\n1", "of type `string`, which is not read"),
        ("@attribute a real\n@data\n1,2", "data row 0 has 2 values, expected 1"),
        ("@attribute a real\n@attribute b real\n@data\n{0 1}", "damaged or sparse"),
        ("@attribute a {x}\n@data\ny", "column `a` holds 'y'"),
        ("@attribute a real\n@data\nz", "column `a` holds"),
    ],
)
def test_other_files_are_named(text, said):
    with pytest.raises(DatasetError, match=f"`it`.*{said}"):
        read_arff(text, "`it`")
