from datetime import UTC, datetime

import pytest

from .fault_table import BEGIN, CHECKOUT, END, PAGE, ROWS, Result, table, written


@pytest.mark.parametrize("start", [start for _, starts in ROWS for start in starts])
def test_the_tests_of_every_fault_are_there(start: str) -> None:
    file, _, name = start.partition("::")
    test, _, case = name.partition("[")
    text = (CHECKOUT / file).read_text("utf-8")
    assert f"def {test}" in text
    assert case.removesuffix("]") in text


def test_a_row_counts_what_its_tests_say() -> None:
    _, (kills,) = ROWS[0]
    done = Result("passed", {"count": 7, "of": "3 after 'begun'"})
    text = table({f"{kills}_night": done, "elsewhere::test_kill": done})
    row = text.splitlines()[2]
    assert row.endswith("| 7 | survived: 3 after 'begun' |")
    assert "`test_kill_of_a_whole_night`" in row


def test_what_failed_or_was_left_out_is_not_said_to_survive() -> None:
    _, starts = next(row for row in ROWS if len(row[1]) > 1)
    first, second = starts[:2]
    for outcome, said in (("failed", "FAILED: 1 of 2"), ("skipped", "1 skipped here")):
        text = table({first: Result("passed", {}), second: Result(outcome, {})})
        assert said in text
    assert "| not run | 0 | FAILED: 0 of 0 tests |" in table({})


def test_the_table_stands_between_its_marks() -> None:
    when = datetime(2025, 3, 1, tzinfo=UTC)
    page = written(f"before\n{BEGIN}\nold\n{END}\nafter", "| new |", when, "1.0")
    told = "Counted by `make faults` on 2025-03-01 with version 1.0.\n\n| new |"
    assert page == f"before\n{BEGIN}\n{told}\n{END}\nafter"
    with pytest.raises(ValueError, match="lacks the marks"):
        written("nothing", "", when, "1.0")
    assert BEGIN in PAGE.read_text("utf-8")
