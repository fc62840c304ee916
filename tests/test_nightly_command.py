"""``sink-emulator nightly`` as it is typed, and what it exits with."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

import emulator
from emulator import cli
from emulator.data.testbed import feed, generate
from emulator.nightly import journal
from emulator.nightly.journal import Outcome
from tests.nightly.deployments import moment

DOMAINS = ("land", "ocean")

Nightly = Callable[..., tuple[int, str, str]]


@pytest.fixture
def nightly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Nightly:
    """Return a function that runs the command: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["nightly", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


def well(root: Path) -> None:
    root.mkdir()
    newest = {"land": "2025-02"}
    journal.conclude(root, Outcome(0, "done", moment("2025-03-05"), 1.0, newest=newest))


def test_status_is_that_of_the_last_night(nightly: Nightly) -> None:
    code, _, wrong = nightly("status")
    assert code == 1
    assert "No night has run in nightly yet" in wrong
    well(Path("nightly"))
    code, said, _ = nightly("status")
    assert code == 0
    assert json.loads(said)["newest"] == {"land": "2025-02"}


def test_health_exits_with_one_where_something_is_wrong(nightly: Nightly) -> None:
    code, _, wrong = nightly("health", "root=absent")
    assert (code, "no night has run" in wrong) == (1, True)
    well(Path("nightly"))
    code, said, _ = nightly("health", "now=2025-03-06")
    assert (code, said) == (0, "well\n")
    code, _, wrong = nightly("health", "now=2025-03-20")
    assert code == 1
    assert "360 hours ago, more than 50" in wrong
    assert nightly("health", "now=2025-03-20", "health.success_hours=400")[0] == 0


def test_replay_needs_days(nightly: Nightly) -> None:
    code, _, wrong = nightly("replay", "--from", "2025-01-01")
    assert code == 1
    assert "needs --to DATE, e.g. --to 2024-07-01, and got ''" in wrong


def test_night_without_a_run_exits_with_one(nightly: Nightly) -> None:
    code, _, wrong = nightly("land=absent", "ocean=null")
    assert code == 1
    assert "There is no run 'absent'" in wrong
    assert nightly("status")[0] == 0


@dataclass
class Earth:
    """A testbed with runs, prepared forcing and a feed.

    Attributes:
        folder: Of the testbed.
        root: Where commands are run, and the feed lies.
        chosen: Settings of its nights.
    """

    folder: Path
    root: Path
    chosen: list[str]

    def offer(self, day: date, first: str) -> None:
        """Let both sources have what a centre would offer on a day."""
        for domain in DOMAINS:
            feed.publish(
                self.folder,
                self.root / "offers",
                domain=domain,
                as_of=day,
                first=np.datetime64(first, "M"),
            )


@pytest.fixture
def earth(nightly: Nightly, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Earth:
    """Return a testbed whose teachers end with 2008, its weather with 2010."""
    folder = generate(tmp_path / "data", grid_step=15, first=2000, last=2009)
    monkeypatch.setenv("SINK_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SINK_CATALOG", str(folder / "catalog"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    quick = ["model=pointwise", "learning.steps=4", "learning.validate_every=2"]
    quick += ["learning.warmup_steps=1", "learning.cells_per_batch=32"]
    chosen = ["sanity.reach=1000", "completions=2"]
    own = tmp_path / "conf"
    years = "train: [2000, 2008]\nvalidation: [2004, 2005]\ntest: [2008, 2008]"
    for domain in DOMAINS:
        data = f"name: tiny_{domain}\nyears: [2000, 2008]\nhistory_years: 3\n"
        for group, text in (("data", data), ("split", years)):
            (own / group).mkdir(parents=True, exist_ok=True)
            (own / group / f"tiny_{domain}.yaml").write_text(
                f"defaults: [testbed_{domain}, _self_]\n{text}\n"
            )
        train = ["train", f"data=tiny_{domain}", f"name={domain}", *quick]
        assert cli.main([*train, "--config-dir", str(own)]) == 0
        forcing = [f"forcing=testbed_weather_{domain}", "forcing.years=[2000,2010]"]
        assert cli.main(["prepare", *forcing]) == 0
        (run,) = Path("runs").glob(f"{domain}-*")
        chosen += [f"{domain}={run}", f"{domain}_forcing=testbed_weather_{domain}"]
        chosen += [f"{domain}_source.url={tmp_path / 'offers' / domain}"]
    nightly("status")  # what the commands above said is read
    return Earth(folder, tmp_path, chosen)


@pytest.mark.slow
def test_nights_on_the_testbed(nightly: Nightly, earth: Earth) -> None:
    """Simulated weather as a centre offers it; a map, a revision, a replay."""
    chosen = [*earth.chosen, "until=2010-02"]
    for day, status in (("2010-04-08", [1, 2]), ("2010-06-08", [0, 1, 1, 2])):
        earth.offer(date.fromisoformat(day), "2010-03")
        code, said, wrong = nightly(*chosen, f"now={day}T03:00")
        assert (code, wrong) == (0, "")
        assert "sink map: nightly/sink.zarr" in said
        sink = emulator.open_sink("nightly")
        assert sink["status"].sel(time=slice("2010-03", None)).values.tolist() == status
    assert sink["revision"].sel(time="2010-03") == 1
    code, said, _ = nightly(*chosen, "now=2010-06-08T04:00")
    assert (code, said.split(" (")[0]) == (0, "nothing new")
    offers, away = earth.root / "offers", earth.root / "away"
    offers.rename(away)
    assert nightly(*chosen, "now=2010-06-09T03:00")[0] == 3
    away.rename(offers)
    earth.offer(date(2010, 6, 10), "2010-03")
    assert nightly(*chosen, "now=2010-06-10", "sanity.land=[-1e-9,1e-9]")[0] == 4
    assert nightly(*chosen, "now=2010-06-10")[0] == 0
    days = ["--from", "2010-04-01", "--to", "2010-06-09"]
    code, said, _ = nightly("replay", *chosen, *days)
    assert (code, said) == (0, "2 nights replayed, 2 with news: nightly-replay\n")
    again = emulator.open_sink("nightly-replay")
    then = emulator.open_sink("nightly", as_of="2010-06-09")
    np.testing.assert_allclose(again["nbp_mean"], then["nbp_mean"], rtol=1e-4)


@pytest.mark.slow
def test_two_years_of_nights_are_one_prediction_from_final_forcing(
    nightly: Nightly, earth: Earth
) -> None:
    day = date(2009, 2, 8)
    while day < date(2011, 5, 1):
        earth.offer(day, "2009-01")
        until = "until=2008-12"
        code, _, wrong = nightly(*earth.chosen, until, f"now={day}T03:00")
        assert (code, wrong) == (0, "")
        day = (day.replace(day=1) + timedelta(days=32)).replace(day=8)
    sink = emulator.open_sink("nightly").load()
    revised = sink["revision"].sel(time=slice("2009", None))
    # Partial, then preliminary, then final: each month but the first two.
    assert (revised >= 1).all()
    assert (sink["status"] == 0).all()
    now = ["now=2011-05-01", "root=whole", "land_source.url=", "ocean_source.url="]
    assert nightly(*earth.chosen, *now)[0] == 0
    whole = emulator.open_sink("whole").load()
    assert whole["time"].equals(sink["time"])
    apart = {"issued", "revision", "forcing_source"}
    for name in sorted(set(map(str, whole.data_vars)) - apart):
        one, two = sink[name], whole[name]
        if two.dtype.kind == "f":
            size = float(np.abs(two).fillna(0.0).max())
            np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6 * size)
        else:
            np.testing.assert_array_equal(one, two)
    (march,) = emulator.open_sink("nightly", as_of="2009-04-30")["status"][-2:-1]
    assert march == 1
