"""Settings of a source are checked, and names are read as they are written."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emulator.carbon.errors import SettingsError
from emulator.data.offers import Offer, SourceSettings, bring, dated, expected
from tests.data import servers
from tests.data.servers import Server

SOURCE = SourceSettings(url="https://centre.org/land")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": ""}, "needs a url"),
        (
            {"url": "http://a:b@c.org/{date}.nc"},
            r"http://c\.org/\{date\}\.nc of a source",
        ),
        # All months would be kept under one name, and the first be taken for each.
        ({"url": "http://c.org/{date}/{status}.nc"}, r"a file '\{status\}\.nc', but"),
        ({"url": "http://c.org/x?of={date}_{status}"}, "a file 'x', but it must hold"),
        ({"words": {"final": "f", "preliminary": "p"}}, "must name final, preliminary"),
        (
            {"words": {"final": "a", "preliminary": "a", "daily": "d"}},
            "a word of its own",
        ),
        ({"retries": -1}, "retries and backoff_s must be 0 or more"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        SourceSettings(**({"url": "here"} | changes))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("testbed_land_202501_final.nc", ("2025-01", None, "final")),
        ("a_b_202512_preliminary.nc4", ("2025-12", None, "preliminary")),
        ("testbed_land_20250131_daily.nc", ("2025-01", 31, "daily")),
    ],
)
def test_names_tell_date_and_kind(name: str, said: tuple[str, int | None, str]) -> None:
    month, day, kind = said
    assert dated(name, SOURCE) == (np.datetime64(month), day, kind)


@pytest.mark.parametrize(
    "name",
    [
        "index.json",
        "testbed_land_202513_final.nc",  # no such month
        "testbed_land_20250230_daily.nc",  # nor day
        "testbed_land_20250130_final.nc",  # a day is never final
        "testbed_land_202501_daily.nc",
        "testbed_land_202501_finally.nc",
        "testbed_land_1202501_final.nc",
        "../202501_final.nc",  # would leave the folder of downloads
    ],
)
def test_other_names_tell_nothing(name: str) -> None:
    assert dated(name, SOURCE) is None


def test_a_file_of_another_length_is_brought_again(
    server: Server, tmp_path: Path
) -> None:
    january = np.datetime64("2025-01", "M")
    url = server.does("a_202501_final.nc", servers.sends(b"CDF as it is by now"))
    offer = Offer(url, "a_202501_final.nc", january, None, "final", size=19)
    (tmp_path / offer.name).write_bytes(b"CDF as it was")
    for _ in range(2):
        path = bring(offer, SOURCE, tmp_path)
        assert path.read_bytes() == b"CDF as it is by now"
    # Of a length that nobody tells what is here is taken.
    bring(replace(offer, size=None), SOURCE, tmp_path)
    assert server.asked == [offer.name]


def test_a_pattern_expects_what_would_be_better() -> None:
    source = SourceSettings(url="http://c.org/x_{date}_{status}.nc?key=1")
    months = np.arange("2024-11", "2025-02", dtype="M8[M]")
    # November is final, December preliminary, January partial; it is 3 February.
    offers = expected(source, months, np.array([0, 1, 2]), np.datetime64("2025-02-03"))
    assert [str(month) for month in offers] == ["2024-12", "2025-01", "2025-02"]
    december, january, february = offers.values()
    assert [offer.name for offer in december] == ["x_202412_final.nc"]
    assert december[0].url == "http://c.org/x_202412_final.nc?key=1"
    assert [offer.kind for offer in january[:2]] == ["final", "preliminary"]
    assert [offer.day for offer in january[2:]] == list(range(1, 32))
    # The third has not ended.
    assert [offer.name for offer in february] == [
        "x_20250201_daily.nc",
        "x_20250202_daily.nc",
    ]
