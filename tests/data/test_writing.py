from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.data.writing import write_table, write_text, written_whole


def test_a_file_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = write_text(tmp_path / "table.md", "old")
    with written_whole(path) as part:
        # Libraries choose the format by the ending.
        assert (part.parent, part.suffix) == (tmp_path, ".md")
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = write_text(tmp_path / "table.csv", "old")

    def lines() -> Iterator[list[int]]:
        yield [1]
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_table(path, ["a"], lines())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_tables_have_a_line_of_columns(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.csv", ["a", "b"], [(1, "x, y"), (2, None)])
    assert path.read_text() == 'a,b\n1,"x, y"\n2,\n'
