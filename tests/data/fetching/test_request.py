"""Requests to services with clients of their own are scripts that run as they stand."""

import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from emulator.carbon.errors import SettingsError
from emulator.data.entry import Entry, parse_entry
from emulator.data.fetching.plan import Choice
from emulator.data.fetching.request import script

TODAY = date(2026, 11, 21)


CDS = {"month": ["01", "02"], "time": ["00:00"]}


def product(service: str, request: dict[str, list[str]]) -> Entry:
    said = {
        "name": "weather",
        "kind": "forcing",
        "domain": "both",
        "reader": "era5",
        "evidence": "observed",
        "root": "weather",
        "files": "**/*",
        "variables": {"tas": {}, "vpd": {}, "pr": {}},
        "years": [2020, None],
        "fetch": {
            "client": {
                "service": service,
                "dataset": "the-data",
                "variables": {"tas": ["2t"], "vpd": ["2t", "2d"]},
                "request": request,
            }
        },
    }
    return parse_entry("weather", said, "x.yaml")


def run(text: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Run a script with clients that only note what they are asked."""
    asked: list[tuple[Any, ...]] = []

    class Client:
        def retrieve(self, name: str, request: dict[str, Any], target: str) -> None:
            asked.append((name, request))
            Path(target).write_text("data")

    cds, marine = ModuleType("cdsapi"), ModuleType("copernicusmarine")
    cds.Client = Client  # type: ignore[attr-defined]
    marine.subset = lambda **request: asked.append((request,))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cdsapi", cds)
    monkeypatch.setitem(sys.modules, "copernicusmarine", marine)
    exec(compile(text, "request.py", "exec"), {})  # noqa: S102 - our own text
    return asked


def made(
    service: str,
    tmp_path: Path,
    request: dict[str, list[str]] = CDS,
    **choice: Any,
) -> str:
    one = product(service, request)
    assert one.fetch is not None
    assert one.fetch.client is not None
    return script(one, one.fetch.client, Choice(**choice), tmp_path, TODAY)


def test_the_climate_data_store_is_asked_year_by_year(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = made("cds", tmp_path, years=(2024, 2025))
    asked = run(text, monkeypatch)
    request = {"variable": ["2t", "2d"], **CDS}
    assert asked == [
        ("the-data", {**request, "year": [year]}) for year in ("2024", "2025")
    ]
    names = sorted(path.name for path in (tmp_path / "weather").iterdir())
    assert names == ["weather_2024.zip", "weather_2025.zip"]
    # What is there is not asked for again.
    assert run(text, monkeypatch) == []


def test_all_years_are_asked_for_without_a_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = run(made("cds", tmp_path, variables=("tas",)), monkeypatch)
    assert [request["year"] for _, request in asked] == [
        [str(year)] for year in range(2020, 2027)
    ]
    assert asked[0][1]["variable"] == ["2t"]


def test_copernicus_marine_is_asked_year_by_year(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"maximum_depth": ["1"], "month": [], "coordinates_selection": ["inside"]}
    text = made("copernicusmarine", tmp_path, said, years=(2024, 2024))
    asked = run(text, monkeypatch)
    assert asked == [
        (
            {
                "dataset_id": "the-data",
                "variables": ["2t", "2d"],
                "start_datetime": "2024-01-01",
                "end_datetime": "2024-12-31",
                "output_directory": str(tmp_path / "weather"),
                "output_filename": "weather_2024.nc",
                "skip_existing": True,
                "maximum_depth": 1.0,
                "coordinates_selection": "inside",
            },
        )
    ]


def test_years_are_those_that_the_product_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = run(made("cds", tmp_path, years=(1950, 2021)), monkeypatch)
    assert [request["year"] for _, request in asked] == [["2020"], ["2021"]]
    with pytest.raises(SettingsError, match=r"from 2020 to 2026, but years=\[1, 2\]"):
        made("cds", tmp_path, years=(1, 2))


@pytest.mark.parametrize("service", ["cds", "copernicusmarine"])
def test_a_script_is_no_other_for_the_name_of_its_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    one = replace(product(service, {"depth": ["nan"]}), name='x"{10}')
    assert one.fetch is not None
    assert one.fetch.client is not None
    chosen = Choice(years=(2024, 2024))
    text = script(one, one.fetch.client, chosen, tmp_path, TODAY)
    ((*_, request),) = run(text, monkeypatch)
    if service == "cds":
        assert [path.name for path in (tmp_path / "weather").iterdir()] == [
            'x"{10}_2024.zip'
        ]
    else:
        assert request["output_filename"] == 'x"{10}_2024.nc'
        assert request["depth"] == "nan"


def test_what_no_request_is_known_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no request for \['pr'\], only for \['t"):
        made("cds", tmp_path, variables=("pr",))
