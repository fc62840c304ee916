"""ARCO-ERA5: days out of hours, cut at what the store says is there."""

import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import numpy as np
import pytest
import zarr
from botocore.client import BaseClient
from moto.server import ThreadedMotoServer
from obstore.store import GCSStore

from emulator.carbon.errors import SourceError, UnitsError
from emulator.data import catalog, readers
from emulator.data.readers import arco_era5
from emulator.data.readers.arco_era5 import find
from emulator.data.readers.products import Offering, Told
from tests.data.arco_files import PATTERN, arco
from tests.data.centre_files import LAT, LON

MAY30, MAY31, JUNE1, JUNE2, JUNE3 = np.arange("2025-05-30", "2025-06-04", dtype="M8[D]")
HOURS = np.arange(24 * 5)
"""Five days: 30 May to 3 June."""


def days(place: Path | str, names: Sequence[str], scratch: Path) -> Offering:
    offering = find(str(place), names, scratch)
    assert offering.refused == []
    return offering


def told(place: Path | str, name: str, day: np.datetime64, scratch: Path) -> Told:
    return days(place, [name], scratch).days[day].read((name,))


def corner(found: Told, name: str) -> float:
    """Return the value of the first row and column of the store: 90 N, 0 E."""
    return float(found.fields[name][-1, found.grid.lon.tolist().index(0)])


@pytest.mark.parametrize("version", [2, 3])
def test_moments_are_of_the_day_and_amounts_end_in_the_next(
    tmp_path: Path, version: int
) -> None:
    # 0.1 mm in each hour, 1 mm in that which is stamped 00 of 1 June: of 31 May.
    rain = np.full(HOURS.size, 1e-4)
    rain[48] = 1e-3
    store = arco(
        tmp_path / "arco.zarr", {"t2m": 280.0 + HOURS, "tp": rain}, version=version
    )
    found = told(store, "tas", MAY31, tmp_path)
    # Hours 24 to 47 after 280 K at the beginning.
    assert corner(found, "tas") == pytest.approx(280 + 35.5, rel=1e-6)
    assert found.grid.lat.tolist() == LAT[::-1].tolist()
    assert found.grid.lon.tolist() == (LON - 180).tolist()
    expected = np.roll(315.5 * (1 + PATTERN[::-1]), 4, axis=1)
    np.testing.assert_allclose(found.fields["tas"], expected, rtol=1e-6)
    found = told(store, "pr", MAY31, tmp_path)
    assert corner(found, "pr") == pytest.approx((23 * 0.1 + 1) / 86400, rel=1e-5)
    assert corner(told(store, "pr", MAY30, tmp_path), "pr") == pytest.approx(
        2.4 / 86400, rel=1e-5
    )


def test_days_are_cut_where_values_end(tmp_path: Path) -> None:
    fields = {"t2m": 280.0 + HOURS, "tp": np.full(HOURS.size, 1e-4)}
    ends = {"stop": "2025-05-31", "stop_era5t": "2025-06-02"}
    store = arco(tmp_path / "arco.zarr", fields, **ends)
    warm = days(store, ["tas"], tmp_path)
    assert list(warm.days) == [MAY30, MAY31, JUNE1, JUNE2]
    status = [piece.read(("tas",)).is_final for piece in warm.days.values()]
    assert status == [True, True, False, False]
    # The last hour of rain on 2 June would be that of 3 June, 00 UTC.
    wet = days(store, ["tas", "pr"], tmp_path)
    assert list(wet.days) == [MAY30, MAY31, JUNE1]
    # That of 31 May is of a forecast of 31 May, and final as that is.
    assert wet.days[MAY31].read(("pr",)).is_final
    assert wet.months == {}


@pytest.mark.parametrize("stop", ["2025-05-31T22:00:00", "2025-05-31T23:00:00+00:00"])
def test_a_stop_may_be_an_hour(tmp_path: Path, stop: str) -> None:
    store = arco(tmp_path / "arco.zarr", {"t2m": 280.0 + HOURS}, stop=stop)
    last = MAY30 if "22:00" in stop else MAY31
    assert list(days(store, ["tas"], tmp_path).days)[-1] == last


def test_all_variables_come_by_the_rules_of_era5(tmp_path: Path) -> None:
    # Never along an axis: a component that is 0 everywhere is no wind of a planet.
    turn = 0.3 + HOURS * np.pi / 2
    fields = {
        "t2m": np.full(HOURS.size, 293.16),
        "d2m": np.full(HOURS.size, 283.16),
        "sp": np.full(HOURS.size, 1e5),
        "ssrd": np.full(HOURS.size, 7.2e5),
        "u10": 5 * np.cos(turn),
        "v10": 5 * np.sin(turn),
    }
    store = arco(tmp_path / "arco.zarr", fields)
    names = ("vpd", "huss", "rsds", "sfcWind")
    found = days(store, names, tmp_path).days[MAY30].read(names)
    # The values of tests/data/readers/test_era5.py; 0.72 MJ m-2 an hour are 200 W m-2.
    assert corner(found, "vpd") == pytest.approx(1109.68, abs=0.1)
    assert corner(found, "huss") == pytest.approx(0.0076711, abs=1e-6)
    assert corner(found, "rsds") == pytest.approx(200, rel=1e-6)
    # The wind turns round, and its mean vector is none.
    assert corner(found, "sfcWind") == pytest.approx(5, rel=1e-6)


def test_forcing_is_prepared_from_final_months(tmp_path: Path) -> None:
    first, length = np.datetime64("2025-06-01T00", "h"), 24 * 61
    ends = {"stop": "2025-06-30", "stop_era5t": "2025-07-31"}
    warm = {"t2m": 270.0 + np.arange(length) // 24}
    store = arco(tmp_path / "arco.zarr", warm, first=first, laid_out=length, **ends)
    shipped = replace(catalog.load("arco_era5"), root=str(store))
    found = readers.read(shipped, "tas", None, tmp_path)
    assert found["time"].to_numpy().astype("M8[M]").tolist() == [first.item().date()]
    # Days of 270 to 299 K.
    assert float(found[0, -1, 4]) == pytest.approx(284.5, rel=1e-6)
    assert found.attrs["source_file"] == (
        f"{store} 2025-06-01 final to {store} 2025-06-30 final"
    )
    assert found.attrs["source_name"] == "ARCO-ERA5"
    again = readers.read(shipped, "tas", None, tmp_path).attrs["sha256"]
    assert found.attrs["sha256"] == again
    arco(store, {"t2m": warm["t2m"] + 1}, first=first, laid_out=length, **ends)
    other = readers.read(shipped, "tas", None, tmp_path).attrs["sha256"]
    assert other != again


def without_values(store: Path) -> None:
    """Take away all that is no coordinate and no attribute."""
    for name in arco_era5.NAMES.values():
        shutil.rmtree(store / name / "c", ignore_errors=True)


def test_a_day_is_read_once_until_it_is_final(tmp_path: Path) -> None:
    store, scratch = tmp_path / "arco.zarr", tmp_path / "kept"
    warm = {"t2m": 280.0 + HOURS}
    arco(store, warm, stop="2025-05-30", stop_era5t="2025-05-31")
    early = days(store, ["tas"], scratch).days[MAY31]
    first = corner(early.read(("tas",)), "tas")
    without_values(store)
    assert corner(early.read(("tas",)), "tas") == first
    again = days(store, ["tas"], scratch).days[MAY31]
    assert again.identity() == early.identity()
    assert corner(again.read(("tas",)), "tas") == first
    # Final, it is another one.
    arco(store, {"t2m": warm["t2m"] + 1}, stop="2025-05-31")
    late = days(store, ["tas"], scratch).days[MAY31]
    assert late.identity() != early.identity()
    assert corner(late.read(("tas",)), "tas") == pytest.approx(first + 1, rel=1e-6)
    assert late.sources == (f"{store} 2025-05-31 final",)
    (kept,) = scratch.glob("*/*")
    assert kept.name == "t2m_2025-05-31_final.npy"


def test_days_long_taken_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arco_era5, "KEPT_DAYS", 1)
    store = arco(tmp_path / "arco.zarr", {"t2m": 280.0 + HOURS})
    for day in (MAY30, MAY31, JUNE1):
        told(store, "tas", day, tmp_path)
    days(store, ["tas"], tmp_path)
    kept = sorted(path.name for path in tmp_path.glob("arco-*/*"))
    assert kept == [f"t2m_{day}_final.npy" for day in (MAY31, JUNE1)]


@pytest.mark.parametrize("fill", [np.nan, 0.0])
def test_hours_without_values_are_refused(tmp_path: Path, fill: float) -> None:
    # The store says more than it has: chunks of 4 June were never written.
    ends = {"stop": "2025-05-31", "stop_era5t": "2025-06-04"}
    store = arco(tmp_path / "arco.zarr", {"t2m": 280.0 + HOURS}, fill=fill, **ends)
    assert told(store, "tas", JUNE3, tmp_path / "kept").is_final is False
    message = "says that 2025-06-04 is there, but '2m_temperature' has no value, or "
    with pytest.raises(SourceError, match=f"{message}one alone, at 2025-06-04T00"):
        told(store, "tas", JUNE3 + 1, tmp_path / "kept")
    assert not list(tmp_path.glob("kept/*/*2025-06-04*"))


def test_units_are_those_of_the_store(tmp_path: Path) -> None:
    celsius = arco(tmp_path / "c.zarr", {"t2m": 20.0 + HOURS}, units={"t2m": "degC"})
    found = told(celsius, "tas", MAY30, tmp_path)
    assert corner(found, "tas") == pytest.approx(20 + 11.5 + 273.15, rel=1e-6)
    silent = arco(tmp_path / "s.zarr", {"t2m": 280.0 + HOURS}, units={"t2m": ""})
    with pytest.raises(UnitsError, match="'2m_temperature' states no unit, but 'K'"):
        told(silent, "tas", MAY30, tmp_path)


def refused(place: Path | str, scratch: Path) -> str:
    offering = find(str(place), ["tas"], scratch)
    assert offering.days == {}
    (said,) = offering.refused
    return said


def test_what_is_no_such_store_is_refused(tmp_path: Path) -> None:
    warm = {"t2m": 280.0 + HOURS}
    none = refused(tmp_path / "none.zarr", tmp_path)
    assert "none.zarr cannot be read (" in none
    assert "Check the place and the network" in none
    endless = arco(tmp_path / "a.zarr", warm, stop=None)
    said = refused(endless, tmp_path)
    assert "states no valid_time_stop, but its axis of time goes on to 2025-06-08" in (
        said
    )
    odd = arco(tmp_path / "b.zarr", warm, stop="soon")
    assert "states valid_time_stop 'soon', but a date" in refused(odd, tmp_path)
    rain = arco(tmp_path / "c.zarr", {"tp": np.full(HOURS.size, 1e-4)})
    assert "has no '2m_temperature', but an ARCO-ERA5 store" in refused(rain, tmp_path)
    sparse = arco(tmp_path / "d.zarr", warm)
    zarr.open_group(sparse)["time"].attrs["units"] = "days since 2025-05-30"
    assert "has 240 times from 2025-05-30T00 to 2026-01-24T00, but each hour" in (
        refused(sparse, tmp_path)
    )


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """Serve the folder as a web server does that knows no lists and no keys."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("version", [2, 3])
def test_a_store_elsewhere(tmp_path: Path, served: str, version: int) -> None:
    store = arco(tmp_path / "arco.zarr", {"t2m": 280.0 + HOURS}, version=version)
    found = told(f"{served}/arco.zarr", "tas", MAY31, tmp_path / "kept")
    expected = told(store, "tas", MAY31, tmp_path / "kept")
    np.testing.assert_array_equal(found.fields["tas"], expected.fields["tas"])
    assert "none.zarr cannot be read" in refused(f"{served}/none.zarr", tmp_path)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[BaseClient]:
    """Run an S3 server with a bucket that everybody may read."""
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="made-up",
        aws_secret_access_key="made-up-too",  # noqa: S106
    )
    client.create_bucket(Bucket="weather", ACL="public-read")
    for name, value in (
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    yield client
    running.stop()


@pytest.mark.slow
def test_an_object_store_is_read_without_keys(
    tmp_path: Path, bucket: BaseClient
) -> None:
    store = arco(tmp_path / "arco.zarr", {"t2m": 280.0 + HOURS}, laid_out=120)
    for path in store.rglob("*"):
        if path.is_file():
            bucket.put_object(
                Bucket="weather",
                Key=f"era5/{path.relative_to(store)}",
                Body=path.read_bytes(),
                ACL="public-read",
            )
    found = told("s3://weather/era5", "tas", MAY31, tmp_path / "kept")
    assert corner(found, "tas") == pytest.approx(280 + 35.5, rel=1e-6)


def test_googles_store_is_read_without_keys() -> None:
    opened = arco_era5._opened("gs://gcp-public-data-arco-era5/ar/full.zarr-v3")
    assert isinstance(opened.store, GCSStore)
    assert opened.store.config["skip_signature"] == "true"
    assert opened.read_only


def test_obstore_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    said = refused("gs://bucket/arco.zarr", tmp_path)
    assert "gs://bucket/arco.zarr needs the package obstore" in said
