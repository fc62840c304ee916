import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from emulator.carbon.timeaxis import month_range
from emulator.learning.blocks import (
    answerable,
    known_run,
    plan_blocks,
    plan_sliding,
)

MONTHS = month_range("1999-11", "2003-08")


def test_known_run_counts_since_the_last_hole() -> None:
    known = np.array([1, 1, 0, 1, 1, 1, 0, 0, 1], bool)
    assert known_run(known).tolist() == [1, 2, 0, 1, 2, 3, 0, 0, 1]


def test_anchored_blocks_start_in_january_with_their_memory() -> None:
    known = np.ones(MONTHS.size, bool)
    blocks = plan_blocks(MONTHS, known, known, length=12, memory=3, is_anchored=True)
    # January 2000 lacks a month of its memory (October 1999), so 2001 is the first.
    assert [str(MONTHS[block.first]) for block in blocks] == [
        "2001-01",
        "2002-01",
        "2003-01",
    ]
    assert blocks[-1].kept.size == 8


def test_free_blocks_start_where_the_memory_is_whole() -> None:
    known = np.ones(MONTHS.size, bool)
    blocks = plan_blocks(MONTHS, known, known, length=12, memory=3, is_anchored=False)
    assert str(MONTHS[blocks[0].first]) == "2000-02"
    assert answerable(blocks, MONTHS.size)[3:].all()


def test_an_origin_begins_the_only_block() -> None:
    # Neither 2000, where another twelve months would begin, nor 2002 is answered.
    known = np.ones(MONTHS.size, bool)
    origin = 12 * (2001 - 1970)
    (block,) = plan_blocks(
        MONTHS, known, known, length=12, memory=1, is_anchored=True, origin=origin
    )
    assert str(MONTHS[block.first]) == "2001-01"
    assert [str(month) for month in MONTHS[block.kept][[0, -1]]] == [
        "2001-01",
        "2001-12",
    ]
    early = np.isin(MONTHS.astype("M8[Y]"), np.array(["1999", "2000"], "M8[Y]"))
    assert not plan_blocks(
        MONTHS, known, early, length=12, memory=1, is_anchored=True, origin=origin
    )
    for outside in (origin - 120, origin + 120):
        assert not plan_blocks(
            MONTHS, known, known, length=12, memory=1, is_anchored=True, origin=outside
        )


@given(
    st.lists(st.booleans(), min_size=MONTHS.size, max_size=MONTHS.size),
    st.lists(st.booleans(), min_size=MONTHS.size, max_size=MONTHS.size),
    st.sampled_from([1, 3, 6, 12, 24]),
    st.integers(0, 7),
    st.booleans(),
)
def test_windows_are_known_and_do_not_depend_on_what_is_asked(
    known: list[bool], wanted: list[bool], length: int, memory: int, is_anchored: bool
) -> None:
    seen, asked = np.array(known), np.array(wanted)
    place = {}
    for mask in (asked, np.ones(MONTHS.size, bool)):
        blocks = plan_blocks(
            MONTHS, seen, mask, length=length, memory=memory, is_anchored=is_anchored
        )
        place[mask is asked] = {
            int(month): block.first for block in blocks for month in block.kept
        }
        for block in blocks:
            assert block.kept.size
            assert block.kept[0] >= block.first >= memory
            assert block.kept[-1] < block.first + length
            assert seen[block.first - memory : block.kept[-1] + 1].all()
            if is_anchored:
                assert int(MONTHS[block.first].astype(int)) % length == 0
    everything = place[False]
    assert place[True] == {m: f for m, f in everything.items() if asked[m]}


def test_free_blocks_answer_every_month_with_its_memory() -> None:
    known = np.ones(MONTHS.size, bool)
    known[20] = False
    blocks = plan_blocks(
        MONTHS, known, np.ones(MONTHS.size, bool), length=6, memory=4, is_anchored=False
    )
    expected = known_run(known) > 4
    np.testing.assert_array_equal(answerable(blocks, MONTHS.size), expected)


def test_sliding_windows_are_wanted_throughout() -> None:
    known, wanted = np.ones(30, bool), np.zeros(30, bool)
    wanted[10:25] = True
    blocks = plan_sliding(known, wanted, length=12, memory=4)
    assert [block.first for block in blocks] == [10, 11, 12, 13]
    known[7] = False
    assert [b.first for b in plan_sliding(known, wanted, length=12, memory=4)] == [
        12,
        13,
    ]
