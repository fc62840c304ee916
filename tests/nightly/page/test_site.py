import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import zoom

from emulator.carbon.errors import StoreError
from emulator.nightly import page
from emulator.nightly.sinkmap import assemble
from tests.nightly.synthetic import prediction

from .worlds import small_map, with_land_use


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_page_is_whole_and_the_same_each_time(tmp_path: Path) -> None:
    sink_map = small_map(calibrated=True)
    index = page.write(sink_map, tmp_path / "one", links={"Map": "../sink.nc"})
    assert index == tmp_path / "one" / "index.html"
    page.write(sink_map, tmp_path / "two", links={"Map": "../sink.nc"})
    one = contents(tmp_path / "one")
    assert one == contents(tmp_path / "two")
    assert {"data/night.js", "data/2000.js", "data/2001.js", "data/2002.js"} < set(one)
    html = one["index.html"].decode()
    assert "$" not in html
    for address in re.findall(r'(?:src|href)="([^"#:]+)"', html):
        name = address.partition("?")[0]
        assert name in one or name == "../sink.nc"


def test_series_and_definitions_call_the_land_by_its_simulation(tmp_path: Path) -> None:
    given = small_map()
    for name, sink_map, land, defined in (
        ("s2", given, "Land", "<dt>Land: <code>s_land_s2"),
        ("s3", with_land_use(given), "Net land, net_s3", "<dt>Net land: <code>net_s3<"),
    ):
        html = page.write(sink_map, tmp_path / name).read_text()
        assert html.count(defined) == 1
        night = (tmp_path / name / "data" / "night.js").read_text()
        said = json.loads(re.fullmatch(r"sinkPage\.receiveNight\((.*)\);\n", night)[1])
        assert said["names"] == {"nbp": land, "fgco2": "Ocean"}


def test_first_screen_says_what_the_numbers_are_not(tmp_path: Path) -> None:
    html = page.write(small_map(), tmp_path / "page").read_text()
    head = html[: html.index("<main")]
    assert "<strong>Evidence: testbed.</strong> No TRENDY or GOBM output" in head


def test_nothing_outside_the_folder_is_asked_for(tmp_path: Path) -> None:
    page.write(small_map(), tmp_path / "page")
    for name, text in contents(tmp_path / "page").items():
        # The names of XML vocabularies are no addresses that a browser asks for.
        asked = re.findall(
            rb"(?:https?:)?//(?!www\.w3\.org/2000/svg)[\w.-]+\.\w+", text
        )
        assert not asked, name


def test_markup_in_names_is_text(tmp_path: Path) -> None:
    evil = '"><script>alert(1)</script>'
    sink_map = assemble(prediction("land"), None)
    sink_map = sink_map.assign_coords(land_teacher=np.array([evil, "B"], dtype=object))
    sink_map.attrs |= dict.fromkeys(
        ("title", "evidence", "references", "license", "uncertainty", "code_version"),
        evil,
    )
    html = page.write(
        sink_map, tmp_path / "page", links={evil: "../x?" + evil}
    ).read_text()
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


def test_unchanged_years_keep_their_files(tmp_path: Path) -> None:
    sink_map = small_map()
    page.write(sink_map, tmp_path / "one")
    page.write(sink_map.isel(time=slice(0, -1)), tmp_path / "two")
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert one["data/2001.js"] == two["data/2001.js"]
    assert one["data/2002.js"] != two["data/2002.js"]


def test_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(StoreError, match="is not empty"):
        page.write(small_map(), tmp_path)


def test_links_that_run_code_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="relative paths"):
        page.write(small_map(), tmp_path / "page", links={"x": "javascript:y"})


@pytest.mark.parametrize("domain", ["land", "ocean"])
def test_one_domain_alone_has_a_page(tmp_path: Path, domain: str) -> None:
    html = page.write(small_map(domains=domain), tmp_path / "page").read_text()
    assert f"What {domain} take" in html


@pytest.mark.slow
def test_25_years_of_1_degree_stay_below_60_megabytes(tmp_path: Path) -> None:
    # Fields rougher than weather: another value every 10 degrees, even between, and 5 %
    # of noise in every cell. One year, since all are alike.
    rng = np.random.default_rng(0)
    parts = {}
    for domain, share in (("land", 0.3), ("ocean", 0.7)):
        coarse = rng.normal(1e-8, 2e-8, (2, 12, 18, 36))
        smooth = zoom(coarse, (1, 1, 10, 10), order=1)
        values = smooth * rng.normal(1.0, 0.05, smooth.shape)
        fraction = np.zeros((180, 360))
        fraction[: round(180 * share)] = 1.0
        parts[domain] = prediction(
            domain,
            step=1.0,
            first="2000-01",
            last="2000-12",
            values=values,
            fraction=fraction,
        )
    page.write(assemble(parts["land"], parts["ocean"]), tmp_path / "page")
    size = (tmp_path / "page" / "data" / "2000.js").stat().st_size
    assert size * 25 < 60e6
