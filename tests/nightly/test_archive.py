from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import emulator
from emulator.carbon.errors import StoreError
from emulator.data import repository
from emulator.nightly import archive

from .nights import assembled, predictions, publish_night, revised


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return tmp_path / "nightly" / "sink.icechunk"


def same_numbers(found: xr.Dataset, wanted: xr.Dataset) -> None:
    """Assert that two maps agree but in when and how often months were issued."""
    apart = ["issued", "revision"]
    found, wanted = (
        part.load().drop_vars(apart).drop_attrs(deep=False) for part in (found, wanted)
    )
    xr.testing.assert_identical(found, wanted)


def test_first_night_makes_the_archive(repo: Path) -> None:
    given = predictions()
    snapshot = publish_night(repo, given, "2002-01-05")
    found = archive.read_map(repo)
    assert found.attrs.pop("snapshot") == snapshot
    wanted = assembled(given, "2002-01-05")
    xr.testing.assert_identical(found.load(), wanted)
    for domain in ("land", "ocean"):
        kept = archive.read_predictions(repo, domain)
        assert kept is not None
        xr.testing.assert_equal(kept.load(), given[domain])
        assert kept.attrs == given[domain].attrs
    assert archive.nights(repo) == [
        (snapshot, datetime(2002, 1, 5, tzinfo=UTC), "night of 2002-01-05", "")
    ]


def test_later_months_are_appended(repo: Path) -> None:
    given = predictions()
    publish_night(repo, predictions(last="2001-03"), "2001-04-05")
    publish_night(repo, given, "2002-01-05", first="2001-01")
    same_numbers(archive.read_map(repo), assembled(given, "2002-01-05"))
    found = archive.read_map(repo)
    # Months up to March 2001 were there with the same numbers.
    day = found["issued"].to_numpy().astype("M8[D]").astype(str)
    assert day.tolist() == ["2001-04-05"] * 15 + ["2002-01-05"] * 9
    assert not found["revision"].any()
    assert found.attrs["time_coverage_start"] == "2000-01-01"
    assert found.attrs["time_coverage_end"] == "2002-01-01"
    kept = archive.read_predictions(repo, "ocean")
    assert kept is not None
    xr.testing.assert_equal(kept.load(), given["ocean"])


def test_revised_month_is_counted_and_the_old_one_kept(repo: Path) -> None:
    given = predictions()
    first = publish_night(repo, given, "2002-01-05")
    better = revised(given, "2001-06-01")
    second = publish_night(repo, better, "2002-02-05", first="2001-01")
    found = archive.read_map(repo)
    same_numbers(found, assembled(better, "2002-02-05"))
    month = found.sel(time="2001-06-01")
    assert int(month["revision"]) == 1
    assert str(month["issued"].to_numpy())[:10] == "2002-02-05"
    assert int(found["revision"].sum()) == 1
    assert (
        archive.read_map(repo, first)["issued"] == np.datetime64("2002-01-05")
    ).all()
    same_numbers(archive.read_map(repo, first), assembled(given, "2002-01-05"))
    assert [night.snapshot for night in archive.nights(repo)] == [first, second]


def test_night_without_news_changes_nothing(repo: Path) -> None:
    given = predictions()
    first = publish_night(repo, given, "2002-01-05")
    before = sorted(path.name for path in repo.rglob("*"))
    assert publish_night(repo, given, "2002-01-06", first="2001-01") == first
    assert sorted(path.name for path in repo.rglob("*")) == before
    assert len(archive.nights(repo)) == 1


def test_calendar_names_and_ids_find_a_night(repo: Path) -> None:
    given = predictions()
    first = publish_night(repo, given, "2002-01-05")
    better = revised(given, "2001-06-01")
    second = publish_night(repo, better, "2002-02-05", first="2001-01")
    archive.tag_vintage(repo, "v2002-01", first)
    wanted = {
        None: second,
        date(2002, 1, 5): first,
        "2002-02-04": first,
        "2002-02-05": second,  # the whole of that day
        "2002-02-04T23:59:59": first,
        np.datetime64("2030-01-01"): second,
        datetime(2002, 2, 5, 0, 0, 1): second,
        "v2002-01": first,
        second: second,
    }
    for as_of, snapshot in wanted.items():
        opened = emulator.open_sink(repo, as_of=as_of)
        assert opened.attrs["snapshot"] == snapshot, as_of
    with pytest.raises(StoreError, match="at or before 2001-12-31; the first is"):
        emulator.open_sink(repo, as_of="2001-12-31")
    with pytest.raises(StoreError, match=r"no night 'v2003'.*v2002-01"):
        emulator.open_sink(repo.parent, as_of="v2003")
    assert archive.vintages(repo) == [
        ("v2002-01", first, datetime(2002, 1, 5, tzinfo=UTC))
    ]


def test_tables_are_part_of_the_map_and_no_revision(repo: Path) -> None:
    window = assembled(predictions(), "2002-01-05")

    def ranks(values: list[float]) -> xr.Dataset:
        return xr.Dataset({"rank": ("year", values)}, {"year": window["year"]})

    def night(values: list[float]) -> str:
        return archive.commit(
            repo, window, predictions(), message="", properties={}, tables=ranks(values)
        )

    first = night([1.0, 2.0])
    assert archive.read_map(repo)["rank"].to_numpy().tolist() == [1.0, 2.0]
    assert night([1.0, 2.0]) == first
    night([2.0, 1.0])
    found = archive.read_map(repo)
    assert found["rank"].to_numpy().tolist() == [2.0, 1.0]
    assert (found["revision"] == 0).all()
    assert archive.read_map(repo, first)["rank"].to_numpy().tolist() == [1.0, 2.0]


def small_commit(repo: Path, window: xr.Dataset) -> str:
    return archive.commit(repo, window, {}, message="", properties={})


def test_other_teachers_need_all_months(repo: Path) -> None:
    window = assembled(predictions(), "2002-01-05")
    small_commit(repo, window)
    other = window.assign_coords(land_teacher=np.array(["A", "Z"], object))
    late = other.sel(time=slice("2001-01", None), year=slice(2001, None))
    with pytest.raises(
        StoreError, match=r"its land_teacher differs, and 12 of 24 steps of time"
    ):
        small_commit(repo, late)
    same_numbers(archive.read_map(repo).drop_attrs(deep=False), window)
    small_commit(repo, other)
    found = archive.read_map(repo)
    same_numbers(found, other)
    assert (found["revision"] == 1).all()


def test_earlier_months_and_other_types_need_all_months(repo: Path) -> None:
    window = assembled(predictions(), "2002-01-05")
    late = window.sel(time=slice("2001-01", None), year=slice(2001, None))
    small_commit(repo, late)
    with pytest.raises(StoreError, match="are new, but before the archive's last"):
        small_commit(repo, window.isel(time=slice(12), year=slice(1)))
    with pytest.raises(StoreError, match="nbp_mean has other dimensions or another"):
        small_commit(repo, late.assign(nbp_mean=late["status"]).isel(time=[11]))
    with pytest.raises(StoreError, match="status is not in both"):
        small_commit(repo, late.drop_vars("status").isel(time=[11]))
    small_commit(repo, window)
    same_numbers(archive.read_map(repo), window)


def test_variables_that_come_and_go_are_missing_elsewhere(repo: Path) -> None:
    window = assembled(predictions(), "2002-01-05")
    early, late = window.isel(time=slice(12), year=[0]), window.isel(time=slice(12, 24))
    small_commit(repo, early.drop_vars("nbp_teacher_std"))
    small_commit(repo, late.isel(year=[1]).drop_vars("nbp_emulator_std"))
    found = archive.read_map(repo)
    assert not found["nbp_teacher_std"][:12].notnull().any()
    assert not found["nbp_emulator_std"][12:].notnull().any()
    rest = ["nbp_teacher_std", "nbp_emulator_std"]
    same_numbers(found.drop_vars(rest), window.drop_vars(rest))
    np.testing.assert_array_equal(
        found["nbp_teacher_std"][12:], window["nbp_teacher_std"][12:]
    )


def test_codes_of_a_window_are_those_of_the_archive(repo: Path) -> None:
    window = assembled(predictions(), "2002-01-05")
    late = window.isel(time=slice(12, 24), year=[1])
    small_commit(repo, window)
    known = window["forcing_source"].attrs["flag_meanings"]
    late["forcing_source"] = late["forcing_source"].copy(data=[0] * 11 + [1])
    late["forcing_source"].attrs |= {
        "flag_values": np.array([0, 1], np.int8),
        "flag_meanings": f"other {known}",
    }
    small_commit(repo, late)
    found = archive.read_map(repo)["forcing_source"]
    assert found.attrs["flag_meanings"] == f"{known} other"
    assert found.attrs["flag_values"] == [0, 1]
    # The window's 0 is another product, its 1 the one that the archive calls 0.
    assert found.to_numpy().tolist() == [0] * 12 + [1] * 11 + [0]


def test_names_of_vintages_are_kept_and_no_dates(repo: Path) -> None:
    first = publish_night(repo, predictions(), "2002-01-05")
    assert archive.tag_vintage(repo, "v1") == first
    assert archive.tag_vintage(repo, "v1", first) == first
    publish_night(repo, revised(predictions(), "2001-06"), "2002-02-05")
    with pytest.raises(StoreError, match=f"'v1' is the night {first} and stays so"):
        archive.tag_vintage(repo, "v1")
    for name in ("2002-01-05", "", "a/b"):
        with pytest.raises(StoreError, match="cannot name a vintage"):
            archive.tag_vintage(repo, name)


def test_impossible_requests_are_explained(repo: Path) -> None:
    window = assembled(predictions(), "2002-01-05")
    with pytest.raises(ValueError, match="'issued' is 'today'"):
        archive.commit(repo, window, {}, message="", properties={"issued": "today"})
    with pytest.raises(StoreError, match="There is no repository at"):
        archive.read_map(repo)
    with pytest.raises(StoreError, match="gs://bucket/a is no place"):
        archive.read_map("gs://bucket/a")
    with repository.writing(repo):
        pass
    with pytest.raises(StoreError, match="has no night yet"):
        archive.read_map(repo)
    small_commit(repo, window)
    assert archive.read_predictions(repo, "land") is None
    (repo.parent / "file").write_text("no folder")
    with pytest.raises(
        StoreError, match=r"cannot be read or written \(Not a directory"
    ):
        small_commit(repo.parent / "file" / "sink.icechunk", window)
