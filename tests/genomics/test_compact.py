"""Compact files: what is written is read, two files are equal by content, and damage is never wrong numbers."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from genescale.errors import BundleDamaged
from genescale.genomics import compact

NUMBERS = hnp.arrays(
    st.sampled_from(["<u1", "<u2", "<i2", "<i4", "<f8"]), hnp.array_shapes(max_dims=3, min_side=0), elements={}
)
TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n")), max_size=20)


@given(column=NUMBERS | TEXTS)
def test_what_is_written_is_read(tmp_path_factory, column):
    file = tmp_path_factory.getbasetemp() / "one.compact"
    compact.write(file, {"what": "a test"}, {"column": column})
    held = compact.read(file)
    assert held.about == {"what": "a test"}
    if isinstance(column, list):
        assert held.texts("column") == column
    else:
        assert held.array("column").dtype == column.dtype
        np.testing.assert_array_equal(held.array("column"), column)


def written(path: Path) -> Path:
    compact.write(path, {}, {"numbers": np.arange(50, dtype=np.uint16), "texts": ["one", "two"]})
    return path


def test_only_some_columns(tmp_path):
    assert list(compact.read(written(tmp_path / "x"), ["texts"]).columns) == ["texts"]


def test_files_are_equal_by_content(tmp_path):
    first, second = written(tmp_path / "a"), written(tmp_path / "b")
    assert compact.content(first) == compact.content(second)
    compact.write(second, {}, {"numbers": np.arange(50, dtype=np.uint16), "texts": ["one", "too"]})
    assert compact.content(first) != compact.content(second)


@pytest.mark.parametrize("keep", [0, 10, 30, -1])
def test_a_short_file_is_damaged(tmp_path, keep):
    file = written(tmp_path / "x")
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(BundleDamaged, match="not a whole compact file"):
        compact.read(file)


def test_a_changed_byte_never_gives_other_columns(tmp_path):
    file = written(tmp_path / "x")
    whole, right = file.read_bytes(), compact.content(file)
    for at in range(whole.index(b"}]}") + 3, len(whole)):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with contextlib.suppress(BundleDamaged):
            assert compact.content(file) == right  # the last bits of a stream mean nothing


def test_a_changed_head_gives_no_other_error(tmp_path):
    file = written(tmp_path / "x")
    whole = file.read_bytes()
    for at in range(whole.index(b"}]}") + 3):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with contextlib.suppress(BundleDamaged):
            compact.read(file)


def test_a_text_must_fit_on_a_line(tmp_path):
    with pytest.raises(ValueError, match="line break"):
        compact.write(tmp_path / "x", {}, {"texts": ["a\nb"]})
