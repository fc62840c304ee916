"""``sink-emulator map`` as a user types it, on two products of the tiny Earth."""

import json
from pathlib import Path

import numpy as np
import pytest

from emulator import cli
from emulator.cli import composing
from emulator.config import MapCommand
from emulator.data.mapping.products import USUAL_METHODS
from emulator.data.stores import FORCING_SCHEMA, open_store, write_store
from emulator.learning.fit import train
from emulator.nightly.inputs import find_store
from tests.data.two_products import told_otherwise, write_pair
from tests.learning.runs import tiny_settings
from tests.worlds import tiny_forcing, tiny_store


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder to work in, with the stores ``other`` and ``own``."""
    monkeypatch.chdir(tmp_path)
    write_pair(tmp_path / "stores")
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(["map", *arguments])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def printed(out: str, what: str) -> Path:
    """Return the path that a line names."""
    line = next(line for line in out.splitlines() if line.startswith(f"{what}: "))
    return Path(line.removeprefix(f"{what}: ").removesuffix(" (found)"))


def test_a_product_is_mapped_and_found_again(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "product=other", "onto=own")
    assert (code, err) == (0, "")
    assert "# other mapped onto own" in out
    assert "| tas | K | delta | globe | 0.167 -> " in out
    folder, store = printed(out, "map"), printed(out, "store")
    assert folder.parent == Path("stores/maps")
    assert json.loads((folder / "shift.json").read_text())["withheld"] == [2001, 2005]
    truth = tiny_forcing("land")
    mapped = open_store(store, FORCING_SCHEMA)
    np.testing.assert_allclose(mapped["tas"], truth["tas"], atol=1e-4)

    again = run(capsys, "product=other", "onto=own")[1]
    assert (printed(again, "map"), printed(again, "store")) == (folder, store)
    assert again.count(" (found)") == 2
    # Nights and predictions find it by its name.
    assert find_store("other_onto_own", "land", here / "stores").name == store.name


def test_another_store_is_mapped_by_what_was_learned(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = printed(run(capsys, "product=other", "onto=own")[1], "map")
    longer = told_otherwise(tiny_forcing("land", last=2010))
    write_store(longer, here / "stores" / "longer-0.zarr")
    code, out, _ = run(capsys, "product=longer", f"by={folder}", "name=mine")
    assert code == 0
    store = printed(out, "store")
    assert store.name.startswith("mine-")
    mapped = open_store(store, FORCING_SCHEMA)
    truth = tiny_forcing("land", last=2010)
    np.testing.assert_allclose(mapped["tas"], truth["tas"], atol=1e-4)
    assert len(list((here / "stores" / "maps").iterdir())) == 1


def test_a_training_store_gives_a_map_but_stays_as_it_is(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tiny_store(here)
    code, out, _ = run(capsys, f"product={labels}", "onto=own")
    assert code == 0
    assert f"{labels} is a training store and stays as it is" in out
    assert (printed(out, "map") / "fit.zarr").is_dir()


def test_a_run_tells_the_cost_in_carbon(
    here: Path, land_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = tiny_settings(steps=4, validate_every=2, warmup_steps=1)
    train(quick, land_store, here / "runs" / "tiny-0")
    code, out, err = run(capsys, "product=other", "onto=own", "run=tiny-0")
    assert (code, err) == (0, "")
    assert "# Cost of forcing in carbon: tiny-0, other_onto_own" in out
    assert printed(out, "cost") == printed(out, "map") / "cost-tiny-0.md"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "`map` needs product=..."),
        (("product=other",), "one of onto=STORE, to learn, and by=PATH"),
        (("product=none", "onto=own"), "There is no forcing 'none': neither a path"),
        (("product=other", "by=none"), "There is no map of forcing at none"),
        (("product=other", "onto=own", "run=none"), "There is no run 'none'"),
        (
            ("product=other", "onto=own", "methods.tas=magic"),
            "methods.tas is 'magic', but each",
        ),
        (("product=other", "onto=own", "years=[2006,2007]"), "share no whole year"),
    ],
)
def test_mistakes_are_named(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    code, _, err = run(capsys, *arguments)
    assert code == 1
    assert message in err
    assert "Traceback" not in err


def test_methods_stand_in_the_config() -> None:
    made = composing.settings_of("map", ["product=a", "onto=b", "methods.pr=quantiles"])
    assert isinstance(made, MapCommand)
    assert made.methods == USUAL_METHODS | {"pr": "quantiles"}
