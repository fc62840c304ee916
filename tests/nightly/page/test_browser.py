"""The page in a real browser: what a reader does, sees and hears."""

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Request, sync_playwright

from emulator.nightly import page as night_page
from emulator.nightly.page import maps

from .test_closing import closed
from .test_skill import folder_of_run, record
from .worlds import small_map

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
EVIL = "<img src=x onerror=alert(1)>"
WIDTH, HEIGHT, PHONE = 1280, 900, 360
REDRAW_MS = 120  # as in main.js, after a change of size
TIMEOUT_MS = 20_000  # of a machine that trains networks meanwhile


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no chromium on this machine; install the system's package")
    with sync_playwright() as player:
        running = player.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a map that has everything, with markup in a name."""
    sink_map = closed(small_map(calibrated=True))
    sink_map = sink_map.assign_coords(land_teacher=np.array([EVIL, "B"], dtype=object))
    folder = tmp_path_factory.mktemp("night")
    run = folder_of_run(folder / "run", [record("mean of teachers", 0.25)])
    (run / "README.md").write_text(f"# Card\n\n| a | b |\n|---|---|\n| {EVIL} | 2 |\n")
    return night_page.write(
        sink_map,
        folder / "page",
        previous=sink_map.isel(time=slice(0, -1)),
        cards={"land": run},
        links={"Sink map": "../sink.nc"},
    )


@dataclass
class Visit:
    """A page that is open, and what went wrong or out meanwhile."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def open(self, address: str) -> None:
        """Open a page as if for the first time."""
        self.complaints.clear()
        self.requests.clear()
        self.page.goto("about:blank")
        self.page.goto(address)

    def shown(self, month: str, layer: str) -> None:
        """Wait until the map shows a layer of a month."""
        wanted = f'html[data-shown="{month} {layer}"]'
        self.page.wait_for_selector(wanted, state="attached")

    def picture(self) -> str:
        """Return the picture of the map, as it stands on the canvas."""
        return str(self.page.evaluate("document.getElementById('map').toDataURL()"))


def listening(page: Page) -> Visit:
    """Return a visit that notes complaints and requests of a page from now on."""
    found = Visit(page)

    def note(request: Request) -> None:
        found.requests.append(request.url)

    page.on("console", lambda message: found.complaints.append(message.text))
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.on("request", note)
    return found


@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[Visit]:
    """Return one window for all tests: to open another takes as long as a test."""
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    context.set_default_timeout(TIMEOUT_MS)
    yield listening(context.new_page())
    context.close()


@pytest.fixture
def opened(window: Visit, index: Path) -> Iterator[Visit]:
    """Return the whole page, just opened; afterwards nothing may have gone wrong."""
    window.open(index.as_uri())
    window.shown("2002-03", "both_mean")
    yield window
    assert window.complaints == []
    assert all(url.startswith(("file:", "data:")) for url in window.requests)


def test_first_screen_says_evidence_and_newest_month(opened: Visit) -> None:
    for words in (
        "No TRENDY or GOBM output has been used here",
        "Issued 2002-03-20 02:10 UTC",
    ):
        place = opened.page.get_by_text(words).first.bounding_box()
        assert place is not None
        assert place["y"] + place["height"] < HEIGHT


def test_only_the_year_shown_is_loaded(opened: Visit) -> None:
    def years() -> list[str]:
        names = [url.partition("?")[0].rpartition("/")[2] for url in opened.requests]
        return [name for name in names if name[:4].isdigit()]

    assert years() == ["2002.js"]
    opened.page.get_by_label("Year", exact=True).select_option("2000")
    opened.shown("2000-03", "both_mean")
    assert years() == ["2002.js", "2000.js"]


def test_slider_moves_by_keyboard(opened: Visit) -> None:
    slider = opened.page.get_by_label("Month", exact=True)
    before = opened.picture()
    slider.focus()
    slider.press("ArrowLeft")
    opened.shown("2002-02", "both_mean")
    assert slider.get_attribute("aria-valuetext") == "February 2002, preliminary"
    assert "February 2002" in opened.page.locator("#map-caption").inner_text()
    assert opened.picture() != before
    slider.press("Home")
    opened.shown("2002-01", "both_mean")
    # The map ends in March: the thumb stands above the mark of March, not at the end.
    slider.press("End")
    opened.shown("2002-03", "both_mean")
    assert (slider.input_value(), slider.get_attribute("max")) == ("3", "12")


def test_buttons_cross_the_turn_of_the_year(opened: Visit) -> None:
    opened.page.get_by_role("button", name="Year before").click()
    opened.shown("2001-03", "both_mean")
    opened.page.get_by_role("button", name="Year before").press("Enter")
    opened.shown("2000-03", "both_mean")
    for _ in range(2):
        opened.page.get_by_role("button", name="Month before").click()
    opened.shown("2000-01", "both_mean")
    assert opened.page.get_by_role("button", name="Month before").is_disabled()


def test_play_goes_on_by_itself_and_stops(opened: Visit) -> None:
    opened.page.get_by_role("button", name="Play").click()
    # Which month is caught depends on how busy the machine is.
    earlier = 'html[data-shown]:not([data-shown="2002-03 both_mean"])'
    opened.page.wait_for_selector(earlier, state="attached")
    opened.page.get_by_role("button", name="Pause").click()
    assert opened.page.get_by_role("button", name="Play").is_visible()


def test_domain_and_layer_can_be_chosen(opened: Visit) -> None:
    pictures = {opened.picture()}
    opened.page.get_by_role("radio", name="Both").press("ArrowLeft")
    opened.shown("2002-03", "ocean_mean")
    pictures.add(opened.picture())
    opened.page.get_by_text("Teachers' spread", exact=True).click()
    opened.shown("2002-03", "ocean_teachers")
    pictures.add(opened.picture())
    opened.page.locator("label[for=kind-emulator]").click()
    opened.shown("2002-03", "ocean_emulator")
    pictures.add(opened.picture())
    assert len(pictures) == 4
    bar = opened.page.locator("#bar").get_attribute("aria-label")
    assert bar is not None
    assert bar.startswith("Colour bar from 0 to")


@pytest.mark.parametrize("domain", ["land", "ocean", "both"])
def test_a_cell_reads_as_in_the_map(opened: Visit, domain: str) -> None:
    # A cell that has both land and sea, so that no answer can be "no value".
    sink_map = small_map(calibrated=True).isel(time=-1)
    has_both = (sink_map["land_fraction"] > 0) & (sink_map["sea_fraction"] > 0)
    row, column = np.argwhere(has_both.to_numpy())[0]
    cell = sink_map.isel(lat=row, lon=column)
    fluxes = {"land": ("nbp", "land_fraction"), "ocean": ("fgco2", "sea_fraction")}
    wanted = 0.0
    for name, (flux, share) in fluxes.items():
        weight = float(cell[share]) if domain == "both" else float(name == domain)
        wanted += float(np.nan_to_num(cell[f"{flux}_mean"])) * weight * maps.UNIT
    opened.page.locator(f"label[for=domain-{domain}]").click()
    opened.shown("2002-03", f"{domain}_mean")
    opened.page.locator("#cell-lat").fill(str(float(cell["lat"])))
    opened.page.locator("#cell-lon").fill(str(float(cell["lon"])))
    said = opened.page.locator("#cell-value").inner_text()
    number = float(said.split(" ")[0].replace("\N{MINUS SIGN}", "-"))
    # Half a step of either domain (5 g of 800 or more), and three digits shown.
    assert number == pytest.approx(wanted, abs=6.0)


def test_pointer_tells_the_cell_below_it(opened: Visit) -> None:
    opened.page.locator("#map").hover()  # in the middle: 0 N, 0 E
    for name in ("lat", "lon"):
        found = opened.page.locator(f"#cell-{name}").input_value()
        assert float(found) == pytest.approx(0.0, abs=0.5)


def test_series_draw_with_their_intervals(opened: Visit) -> None:
    charts = opened.page.locator("#series-charts svg")
    assert charts.count() == 2
    assert opened.page.locator("#series-charts path.line").count() == 2
    assert opened.page.locator("#series-charts path.band.emulation").count() == 2
    assert opened.page.locator("#series-charts path.band.sink").count() == 2
    legend = opened.page.locator("#series-legend").inner_text()
    assert "90 % interval of emulation" in legend
    drawn = opened.page.locator("#series-charts path.line").first.get_attribute("d")
    opened.page.get_by_label("Region").select_option("tropics")
    after = opened.page.locator("#series-charts path.line").first.get_attribute("d")
    assert drawn != after
    opened.page.locator("#series-period").select_option("month")
    label = charts.first.get_attribute("aria-label")
    assert label is not None
    assert "Months, as a rate" in label


def test_tables_say_what_charts_show(opened: Visit) -> None:
    opened.page.locator("#series-details summary").click()
    rows = opened.page.locator("#series-table tbody tr")
    total = float(small_map()["budget_year"].sel(flux="nbp", region="globe")[-1])
    assert rows.first.locator("th").inner_text() == "2001"
    assert float(rows.first.locator("td").first.inner_text()) == pytest.approx(
        total, abs=5.1e-4
    )
    opened.page.locator("#budget-details summary").click()
    sums = opened.page.locator("#budget-table tbody tr").first.locator("td")
    land, ocean, both = (float(sums.nth(i).inner_text()) for i in range(3))
    assert land + ocean == pytest.approx(both, abs=2e-3)


def test_budget_and_closure_draw_a_bar_for_every_term(opened: Visit) -> None:
    assert opened.page.locator("#budget-chart rect.bar-part").count() == 4
    # Seven terms of 2000; of 2001 two are known.
    assert opened.page.locator("#closure-chart rect.bar-part").count() == 9
    assert "2001*" in opened.page.locator("#closure-chart").text_content()


def test_shares_add_up(opened: Visit) -> None:
    opened.page.locator("#shares-year").select_option("2000")
    cells = opened.page.locator("#shares-table tbody tr td:nth-child(2)")
    bands = [float(cells.nth(i).inner_text()) for i in range(3)]
    total = float(small_map()["budget_year"].sel(flux="nbp", region="globe")[0])
    assert sum(bands) == pytest.approx(total, abs=2e-3)
    shares = opened.page.locator("#shares-table tbody tr td:nth-child(3)")
    parts = [int(shares.nth(i).inner_text().removesuffix(" %")) for i in range(3)]
    assert sum(parts) == pytest.approx(100, abs=2)


def test_a_static_server_serves_it_too(window: Visit, index: Path) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = partial(Quiet, directory=str(index.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        window.open(address)
        window.shown("2002-03", "both_mean")
        window.page.get_by_role("button", name="Year before").click()
        window.shown("2001-03", "both_mean")
        server.shutdown()
    assert window.complaints == []
    assert all(url.startswith((address, "data:")) for url in window.requests)


def test_markup_in_names_is_shown_as_text(opened: Visit) -> None:
    assert opened.page.get_by_text(EVIL).first.is_visible()
    assert opened.page.locator("img").count() == 0


def test_a_year_of_another_night_is_not_mixed_in(
    window: Visit, index: Path, tmp_path: Path
) -> None:
    shutil.copytree(index.parent, tmp_path / "page")
    year = tmp_path / "page" / "data" / "2001.js"
    text = year.read_text()
    year.write_text(text.replace(text.split('"')[1], "0" * 12, 1))
    (tmp_path / "page" / "data" / "2000.js").unlink()
    window.open((tmp_path / "page" / "index.html").as_uri())
    window.shown("2002-03", "both_mean")
    status = window.page.locator("#map-status")
    window.page.get_by_role("button", name="Year before").click()
    window.shown("2001-03", "both_mean")
    assert status.inner_text() == "A newer night was published. Load this page again."
    window.page.get_by_role("button", name="Year before").click()
    window.shown("2000-03", "both_mean")
    assert status.inner_text() == "The maps of 2000 could not be loaded."


@pytest.mark.parametrize("domain", ["land", "ocean"])
def test_one_domain_without_intervals_has_a_page(
    window: Visit, tmp_path: Path, domain: str
) -> None:
    sink_map = small_map(domains=domain).drop_vars(
        [f"{flux}_emulator_std" for flux in ("nbp", "fgco2")], errors="ignore"
    )
    window.open(night_page.write(sink_map, tmp_path / "page").as_uri())
    window.shown("2002-03", f"{domain}_mean")
    assert window.page.get_by_role("radio", name="Both").is_disabled()
    assert window.page.get_by_role("radio", name="Emulator's error").is_disabled()
    assert "Not in this map" in window.page.locator("#map-note").inner_text()
    assert window.page.locator("#series-charts path.band.spread").count() == 1
    assert window.complaints == []


def test_nothing_serious_stands_in_a_readers_way(opened: Visit) -> None:
    for summary in opened.page.locator("summary").all():
        summary.click()
    for scheme, width in (("light", WIDTH), ("dark", WIDTH), ("dark", PHONE)):
        opened.page.emulate_media(color_scheme=scheme)
        opened.page.set_viewport_size({"width": width, "height": HEIGHT})
        opened.page.wait_for_timeout(2 * REDRAW_MS)
        # Preloading would fetch the style sheet, which the page's own policy forbids.
        found = (
            Axe().run(opened.page, options={"preload": False}).response["violations"]
        )
        grave = [
            {"rule": each["id"], "where": [node["html"] for node in each["nodes"]]}
            for each in found
            if each["impact"] in ("serious", "critical")
        ]
        assert not grave, json.dumps(grave, indent=1)
        needed = opened.page.evaluate("document.documentElement.scrollWidth")
        assert needed <= width
    opened.page.emulate_media(color_scheme="light")
    opened.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
