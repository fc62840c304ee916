"""A night takes what is new and whole, refuses the rest by name, and leaves no gap."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from emulator.carbon.errors import SourceError, StoreError
from emulator.carbon.timeaxis import as_months
from emulator.data.arrivals import SourceSettings, collect
from emulator.data.forcing_archive import (
    STATUS,
    fingerprints,
    read,
    record,
    seed,
    snapshot_of,
)
from emulator.data.partial import climate_of, complete
from tests.data import servers
from tests.data.centres import TRUTH, Centre
from tests.worlds import tiny_forcing_store


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an archive of 1990 to 2007, to be copied."""
    folder = tmp_path_factory.mktemp("seeded")
    path = folder / "land.icechunk"
    seed(path, tiny_forcing_store(folder), last=np.datetime64("2007-12"))
    return path


@pytest.fixture
def archive(seeded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(seeded, tmp_path / "land.icechunk"))


@pytest.fixture
def centre(tmp_path: Path) -> Centre:
    return Centre(tmp_path / "centre")


def on(day: str, hour: int = 3) -> datetime:
    return datetime.fromisoformat(day).replace(hour=hour, tzinfo=UTC)


def night(
    centre: Centre | str, archive: Path, day: str, **settings: object
) -> list[str]:
    """Return the months that changed."""
    url = centre if isinstance(centre, str) else str(centre.folder)
    source = SourceSettings(url=url, retries=0, timeout_s=0.5, **settings)
    downloads = archive.parent / "downloads"
    changed = collect(source, archive, downloads, now=on(day))
    return [str(month) for month in changed]


def last(archive: Path) -> xr.Dataset:
    return read(archive).isel(time=-1)


def months(archive: Path) -> str:
    found = as_months(read(archive)["time"].to_numpy())
    return f"{found[0]} to {found[-1]}"


def test_months_and_days_arrive_and_get_better(centre: Centre, archive: Path) -> None:
    centre.month("2008-01", "preliminary", add=1)
    centre.days("2008-02", 1, 4)
    assert night(centre, archive, "2008-02-06") == ["2008-01", "2008-02"]
    assert int(last(archive)["status"]) == STATUS["partial"]
    assert int(last(archive)["days_seen"]) == 4
    assert last(archive)["source"].item() == (
        "tiny_20080201_daily.nc to tiny_20080204_daily.nc (4 days)"
    )
    # A night without news.
    state = snapshot_of(archive)
    assert night(centre, archive, "2008-02-06") == []
    assert snapshot_of(archive) == state
    # One more day, and a revision: it changes how February is completed, too.
    centre.day("2008-02", 5)
    centre.month("2008-01")
    assert night(centre, archive, "2008-02-07") == ["2008-01", "2008-02"]
    centre.month("2008-02", "preliminary")
    assert night(centre, archive, "2008-03-06") == ["2008-02"]
    forcing = read(archive)
    np.testing.assert_array_equal(forcing["tas"], TRUTH["tas"][:218])
    np.testing.assert_array_equal(forcing["pr"], TRUTH["pr"][:218])
    assert forcing["status"][-2:].to_numpy().tolist() == [0, 1]
    np.testing.assert_array_equal(forcing["co2"], TRUTH["co2"][:218])


def test_a_running_month_is_completed(centre: Centre, archive: Path) -> None:
    centre.month("2008-01")
    centre.days("2008-02", 1, 4)
    night(centre, archive, "2008-02-06")
    # Days 1 to 4 of 29 lean by -1.4, -1.3, -1.2, -1.1 K from the middle of the month.
    seen = TRUTH["tas"][217].to_numpy() - 1.25
    climate = climate_of(TRUTH["tas"], np.datetime64("2008-02", "M"))
    expected = complete(seen, np.arange(1, 5), climate)
    np.testing.assert_allclose(last(archive)["tas"], expected, atol=1e-4)


def test_a_month_of_which_all_days_were_seen_is_preliminary(
    centre: Centre, archive: Path
) -> None:
    centre.days("2008-01", 1, 31)
    assert night(centre, archive, "2008-02-01") == ["2008-01"]
    assert int(last(archive)["status"]) == STATUS["preliminary"]
    assert float(last(archive)["coverage"]) == 1
    np.testing.assert_allclose(last(archive)["tas"], TRUTH["tas"][216], rtol=1e-6)
    assert night(centre, archive, "2008-02-02") == []


def test_files_that_are_no_longer_needed_go(centre: Centre, archive: Path) -> None:
    downloads = archive.parent / "downloads"
    centre.month("2008-01")
    centre.days("2008-02", 1, 3)
    night(centre, archive, "2008-02-06")
    (downloads / "notes.txt").write_text("mine")
    found = sorted(path.name for path in downloads.iterdir())
    assert found == [
        "index.json",
        "notes.txt",
        *(f"tiny_2008020{day}_daily.nc" for day in (1, 2, 3)),
    ]
    centre.month("2008-02")
    night(centre, archive, "2008-04-06")
    found = sorted(path.name for path in downloads.iterdir())
    assert found == ["index.json", "notes.txt"]


def test_months_out_of_order_wait_for_the_gap_to_close(
    centre: Centre, archive: Path
) -> None:
    centre.month("2008-01")
    centre.month("2008-03")
    message = r"2008-02 is missing, but 2008-03 is offered: nothing after 2008-01 is"
    with pytest.raises(SourceError, match=message):
        night(centre, archive, "2008-06-01")
    # What could be taken is there.
    assert months(archive) == "1990-01 to 2008-01"
    centre.month("2008-02", "preliminary")
    assert night(centre, archive, "2008-06-02") == ["2008-02", "2008-03"]


def test_another_content_of_the_same_status_is_a_revision(
    centre: Centre, archive: Path
) -> None:
    centre.month("2008-01")
    night(centre, archive, "2008-06-01")
    centre.month("2008-01", add=0.5)
    assert night(centre, archive, "2008-06-02") == ["2008-01"]
    assert int(last(archive)["revision"]) == 1


def test_two_contents_of_one_month_at_once_are_refused(
    centre: Centre, archive: Path
) -> None:
    centre.month("2008-01")
    other = shutil.copy(
        centre.folder / "tiny_200801_final.nc", centre.folder / "old_200801_final.nc"
    )
    centre.announce(Path(other))
    assert night(centre, archive, "2008-06-01") == ["2008-01"]  # it is the same
    centre.listed["old_200801_final.nc"]["sha256"] = "0" * 64
    centre.list()
    with pytest.raises(SourceError, match="final file of 2008-01 twice, with other"):
        night(centre, archive, "2008-06-01")


def drop_values(told: xr.Dataset) -> xr.Dataset:
    told["tas"][0, 2, 1:3] = np.nan
    return told


def celsius_called_kelvin(told: xr.Dataset) -> xr.Dataset:
    told["tas"] = (told["tas"] - 273.15).assign_attrs(units="K")
    return told


def millimetres_called_metres(told: xr.Dataset) -> xr.Dataset:
    told["pr"] = (told["pr"] * 10).assign_attrs(units="kg m-2 s-1")
    return told


def without_unit(told: xr.Dataset) -> xr.Dataset:
    told["tas"].attrs = {}
    return told


REFUSALS: dict[str, tuple[Callable[[xr.Dataset], xr.Dataset], str]] = {
    "NaN block": (drop_values, r"has no value of 'tas' in 2 of 32 cells"),
    "shifted grid": (
        lambda told: told.assign_coords(lon=(told["lon"] + 22.5)),
        r"is on another grid: 'pr' on 4x8, 45 degree from -67\.5 N -180 E",
    ),
    "coarser grid": (
        lambda told: told.isel(lat=[0, 1, 2]),
        r"is on another grid: 'pr' on 3x8",
    ),
    "changed unit, by range": (celsius_called_kelvin, r"150 to 350 is possible"),
    "changed unit, by size": (
        millimetres_called_metres,
        r"has 'pr' of 0\.0003\d+ .* had 3\.\d+e-05 the year before: its unit is not",
    ),
    "no unit": (without_unit, r"'tas' states no unit, but 'K' is needed"),
    "other month inside": (
        lambda told: told.assign_coords(time=np.array(["2007-12-01"], "M8[ns]")),
        r"holds 2007-12, but its name says 2008-01",
    ),
    "two months inside": (
        lambda told: told.isel(time=[0, 0]).assign_coords(
            time=np.array(["2008-01-01", "2008-02-01"], "M8[ns]")
        ),
        r"It holds no single time",
    ),
    "unreadable time": (
        lambda told: told.assign_coords(time=("time", [3], {"units": "moons"})),
        r"Its time cannot be read",
    ),
    "repeated month": (
        lambda told: told.assign(
            {
                name: told[name].copy(data=TRUTH[name][215:216].to_numpy())
                for name in ("tas", "pr")
            }
        ),
        r"holds the numbers of 2007-12 once more, but 2008-01 is needed",
    ),
    "missing variable": (
        lambda told: told.drop_vars("pr").assign(x=told["tas"]),
        r"has no variable 'pr'",
    ),
    "no CO2": (lambda told: told.drop_vars("co2"), r"'co2' is not in it as one number"),
    "impossible CO2": (
        lambda told: told.assign(co2=((), 0.0004, {"units": "ppm"})),
        r"CO2 is 0\.0004 ppm, but 150 to 3000",
    ),
}


@pytest.mark.parametrize(("change", "message"), REFUSALS.values(), ids=REFUSALS)
def test_a_bad_month_is_refused_and_the_old_state_stays(
    centre: Centre,
    archive: Path,
    change: Callable[[xr.Dataset], xr.Dataset],
    message: str,
) -> None:
    state = snapshot_of(archive)
    centre.month("2008-01", change=change)
    with pytest.raises(SourceError, match=message) as caught:
        night(centre, archive, "2008-06-01")
    assert str(caught.value).startswith("tiny_200801_final.nc ")
    assert snapshot_of(archive) == state
    # The source mends it.
    centre.month("2008-01")
    assert night(centre, archive, "2008-06-02") == ["2008-01"]


@pytest.mark.parametrize(
    ("spoil", "announced", "message"),
    [
        (lambda content: content[:2000], False, "truncated: 2000 bytes came"),
        (lambda content: content[:2000], True, "truncated or damaged"),
        (lambda content: content[:-9] + b"123456789", False, "wrong checksum"),
        (lambda _: servers.LOGIN, False, "is a web page"),
        (lambda _: b"", True, "is empty"),
        (lambda _: b"no data", True, "which is no NetCDF file"),
    ],
)
def test_a_damaged_file_is_refused(
    centre: Centre,
    archive: Path,
    spoil: Callable[[bytes], bytes],
    announced: bool,
    message: str,
) -> None:
    path = centre.month("2008-01")
    path.write_bytes(spoil(path.read_bytes()))
    if announced:
        centre.announce(path)
    with pytest.raises(SourceError, match=message):
        night(centre, archive, "2008-06-01")
    assert months(archive) == "1990-01 to 2007-12"


def test_nothing_new_is_taken_behind_a_refused_month(
    centre: Centre, archive: Path
) -> None:
    centre.month("2008-01", change=drop_values)
    centre.month("2008-02")
    with pytest.raises(SourceError, match="no value of 'tas'"):
        night(centre, archive, "2008-06-01")
    assert months(archive) == "1990-01 to 2007-12"


def test_a_refused_revision_does_not_stop_the_months_after_it(
    centre: Centre, archive: Path
) -> None:
    centre.month("2007-12", change=drop_values)
    centre.month("2008-01")
    with pytest.raises(SourceError, match="2007-12 stays as it was"):
        night(centre, archive, "2008-06-01")
    assert months(archive) == "1990-01 to 2008-01"
    np.testing.assert_array_equal(read(archive)["tas"], TRUTH["tas"][:217])


def test_a_refused_day_counts_as_not_seen(centre: Centre, archive: Path) -> None:
    centre.days("2008-01", 1, 4)
    centre.day("2008-01", 2, change=drop_values)
    with pytest.raises(SourceError, match=r"tiny_20080102_daily\.nc has no value"):
        night(centre, archive, "2008-01-06")
    assert int(last(archive)["days_seen"]) == 3
    centre.day("2008-01", 2)
    assert night(centre, archive, "2008-01-07") == ["2008-01"]
    assert int(last(archive)["days_seen"]) == 4


def test_a_repeated_day_is_refused(centre: Centre, archive: Path) -> None:
    centre.day("2008-01", 1)
    centre.day("2008-01", 2, add=-0.1)
    message = r"numbers of 2008-01-01 once more, but 2008-01-02 is needed"
    with pytest.raises(SourceError, match=message):
        night(centre, archive, "2008-01-06")
    assert int(last(archive)["days_seen"]) == 1


def test_a_month_that_has_not_ended_is_refused(centre: Centre, archive: Path) -> None:
    # As a clock that was set back sees the months of yesterday.
    for month in ("2008-01", "2008-02", "2008-03"):
        centre.month(month)
    message = "2008-03, which has not ended: it is 2008-03-31 by the clock"
    with pytest.raises(SourceError, match=message):
        night(centre, archive, "2008-03-31")
    assert months(archive) == "1990-01 to 2008-02"
    assert night(centre, archive, "2008-04-01") == ["2008-03"]
    # What is archived stays, whatever the clock says.
    assert night(centre, archive, "2001-01-01") == []


def test_a_day_that_has_not_ended_is_refused(centre: Centre, archive: Path) -> None:
    centre.days("2008-01", 1, 2)
    with pytest.raises(SourceError, match="2008-01-02, which has not ended"):
        night(centre, archive, "2008-01-02")
    assert int(last(archive)["days_seen"]) == 1


def test_days_end_by_universal_time(centre: Centre, archive: Path) -> None:
    centre.day("2008-01", 1)
    source = SourceSettings(url=str(centre.folder))
    early = datetime(2008, 1, 2, 3, tzinfo=timezone(timedelta(hours=9)))
    with pytest.raises(SourceError, match="has not ended: it is 2008-01-01"):
        collect(source, archive, archive.parent / "downloads", now=early)


def test_a_backup_is_caught_up_by_the_next_night(
    centre: Centre, archive: Path, tmp_path: Path
) -> None:
    centre.month("2008-01", "preliminary", add=1)
    night(centre, archive, "2008-03-01")
    backup = shutil.copytree(archive, tmp_path / "backup")
    centre.month("2008-01")
    centre.month("2008-02", "preliminary")
    night(centre, archive, "2008-04-08")
    published = fingerprints(read(archive))
    shutil.rmtree(archive)
    shutil.copytree(backup, archive)
    assert night(centre, archive, "2008-04-09") == ["2008-01", "2008-02"]
    assert (fingerprints(read(archive)) == published).all()


def test_months_before_the_archive_are_passed_over(
    centre: Centre, archive: Path
) -> None:
    path = centre.month("2008-01")
    old = path.with_name("tiny_198912_final.nc")
    shutil.copy(path, old)
    centre.announce(old)
    assert night(centre, archive, "2008-06-01") == ["2008-01"]


def test_other_names_are_told_in_the_settings(centre: Centre, archive: Path) -> None:
    def renamed(told: xr.Dataset) -> xr.Dataset:
        told["pr"] = (told["pr"] * 86400).assign_attrs(units="mm/day")
        return told.rename(tas="t2m", pr="tp", co2="xco2")

    centre.month("2008-01", "e5", change=renamed)
    changed = night(
        centre,
        archive,
        "2008-06-01",
        variables={"tas": "t2m", "pr": "tp"},
        co2="xco2",
        words={"final": "e5", "preliminary": "e5t", "daily": "day"},
    )
    assert changed == ["2008-01"]
    np.testing.assert_allclose(last(archive)["pr"], TRUTH["pr"][216], rtol=1e-6)


def test_a_list_that_is_none_is_refused(centre: Centre, archive: Path) -> None:
    for content in ("{", "[]", json.dumps({"files": [{"bytes": 1}]})):
        (centre.folder / "index.json").write_text(content)
        with pytest.raises(SourceError, match=r"index\.json is no list of files"):
            night(centre, archive, "2008-06-01")


def test_a_file_that_is_listed_but_absent_is_refused(
    centre: Centre, archive: Path
) -> None:
    centre.month("2008-01").unlink()
    with pytest.raises(SourceError, match=r"tiny_200801_final\.nc is not there"):
        night(centre, archive, "2008-06-01")
    centre.days("2008-01", 1, 2)
    (centre.folder / "tiny_20080101_daily.nc").unlink()
    del centre.listed["tiny_200801_final.nc"]
    centre.list()
    with pytest.raises(SourceError, match=r"tiny_20080101_daily\.nc is not there"):
        night(centre, archive, "2008-06-01")
    assert int(last(archive)["days_seen"]) == 1


def test_an_absent_source_and_an_absent_archive_are_refused(
    centre: Centre, archive: Path, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=r"nowhere/index\.json is not there"):
        night(str(tmp_path / "nowhere"), archive, "2008-06-01")
    with pytest.raises(StoreError, match="no forcing archive at"):
        night(centre, tmp_path / "none" / "land.icechunk", "2008-06-01")


def serve(server: servers.Server, centre: Centre) -> None:
    for path in centre.folder.iterdir():
        server.does(path.name, servers.sends(path.read_bytes()))


def test_a_list_on_a_web_server(
    server: servers.Server, centre: Centre, archive: Path
) -> None:
    centre.month("2008-01")
    centre.days("2008-02", 1, 2)
    serve(server, centre)
    assert night(server.url, archive, "2008-02-06") == ["2008-01", "2008-02"]
    asked = [*server.asked]
    # Days are brought once, months never again.
    assert night(server.url, archive, "2008-02-06") == []
    assert server.asked == [*asked, "index.json"]


@pytest.mark.parametrize(
    ("misbehaviour", "message"),
    [
        (servers.status(503), "answers 503"),
        (servers.hangs(0.8), "is silent"),
        (servers.sends(servers.LOGIN), "is a web page"),
        (servers.sends(b"{"), "is no list of files"),
        (servers.truncates(b'{"files": []}', 5), "broke off"),
    ],
)
def test_a_source_in_trouble_leaves_the_archive_as_it_was(
    server: servers.Server,
    archive: Path,
    misbehaviour: servers.Behaviour,
    message: str,
) -> None:
    state = snapshot_of(archive)
    server.does("index.json", misbehaviour)
    with pytest.raises(SourceError, match=message):
        night(server.url, archive, "2008-06-01")
    assert snapshot_of(archive) == state


def test_a_pattern_is_tried_month_by_month(
    server: servers.Server, centre: Centre, archive: Path
) -> None:
    url = f"{server.url}/tiny_{{date}}_{{status}}.nc"
    centre.month("2008-01", "preliminary", add=1)
    centre.days("2008-02", 1, 3)
    serve(server, centre)
    assert night(url, archive, "2008-02-06") == ["2008-01", "2008-02"]
    assert int(last(archive)["days_seen"]) == 3
    # January may become final; the days are here; two more of them have ended.
    server.asked.clear()
    assert night(url, archive, "2008-02-06") == []
    assert server.asked == [
        "tiny_200801_final.nc",
        "tiny_20080204_daily.nc",
        "tiny_20080205_daily.nc",
    ]
    centre.month("2008-01")
    serve(server, centre)
    assert night(url, archive, "2008-02-06") == ["2008-01", "2008-02"]
    # What is final is asked for no more.
    server.asked.clear()
    night(url, archive, "2008-02-06")
    assert "tiny_200801_final.nc" not in server.asked


def test_a_pattern_of_files_on_this_machine(centre: Centre, archive: Path) -> None:
    centre.month("2008-01")
    centre.month("2008-03")
    url = f"{centre.folder}/tiny_{{date}}_{{status}}.nc"
    # What is not there yet is no error, and ends what there is.
    assert night(url, archive, "2008-06-06") == ["2008-01"]


def test_a_pattern_with_a_clock_set_back_expects_nothing(
    centre: Centre, archive: Path
) -> None:
    centre.days("2008-01", 1, 3)
    url = f"{centre.folder}/tiny_{{date}}_{{status}}.nc"
    assert night(url, archive, "2008-01-06") == ["2008-01"]
    assert night(url, archive, "2008-01-01") == []
    assert night(url, archive, "2000-01-01") == []
    assert int(last(archive)["days_seen"]) == 3


def test_a_pattern_in_trouble_is_told(server: servers.Server, archive: Path) -> None:
    server.does("tiny_200801_final.nc", servers.status(500))
    url = f"{server.url}/tiny_{{date}}_{{status}}.nc"
    with pytest.raises(SourceError, match="answers 500"):
        night(url, archive, "2008-02-06")
    assert record(archive, [], now=on("2008-02-06")).size == 0
