"""``sink-emulator map``: two forcing products in; a map, a report, a store out."""

from pathlib import Path

from emulator.cli.output import say, working
from emulator.config import MapCommand
from emulator.data.mapping.fit import (
    learn,
    map_identity,
    map_name,
    map_store,
    mapped_path,
)
from emulator.data.mapping.products import Pair, Product, open_product, pair
from emulator.data.mapping.report import FILE, keep, shift_report
from emulator.data.mapping.store import open_map

MAPS = "maps"
"""Folder of maps below the stores."""


def map_forcing(settings: MapCommand) -> Path:
    """Learn a map or take one, and map a store by it; return the folder of the map."""
    from emulator.nightly.inputs import find_store

    stores = Path(settings.paths.stores)
    product = open_product(find_store(settings.product, None, stores))
    if settings.by:
        folder = Path(settings.by)
    else:
        onto = open_product(find_store(settings.onto, None, stores))
        found = pair(settings, product, onto)
        folder = _learned(settings, found, stores / MAPS)
        if settings.run:
            _tell_cost(settings, found, folder)
    _map(product, folder, stores, settings.name)
    return folder


def _learned(settings: MapCommand, found: Pair, maps: Path) -> Path:
    """Return the folder of the map, made where it is missing, and print its report."""
    name = f"{map_name(settings, found)}-{map_identity(settings, found)}"
    folder = maps / name
    is_there = folder.exists()
    if not is_there:
        with working(f"Learning {name}"):
            report = shift_report(settings, found)
            keep(folder, learn(settings, found, found.years), report)
    say((folder / f"{FILE}.md").read_text("utf-8"))
    say(f"map: {folder}{' (found)' if is_there else ''}")
    return folder


def _tell_cost(settings: MapCommand, found: Pair, folder: Path) -> None:
    """Write what the product costs in carbon beside the map."""
    from emulator.evaluation.champion import find_run
    from emulator.evaluation.forcing_cost import forcing_cost, write_cost
    from emulator.learning.inference import load_emulator

    run = find_run(settings.run, Path(settings.paths.runs))
    with working(f"Predicting with {run.name}"):
        emulator = load_emulator(run, device=settings.device)
        cost = forcing_cost(emulator, found, learn(settings, found, found.fitted))
        path = write_cost(cost, folder, run.name)
    say(path.read_text("utf-8"))
    say(f"cost: {path}")


def _map(product: Product, folder: Path, stores: Path, name: str) -> None:
    """Map a forcing store, or say why that cannot be."""
    by = open_map(folder)
    if not product.is_forcing_store:
        say(f"{product.path} is a training store and stays as it is")
        return
    path = mapped_path(product, by, stores, name)
    is_there = path.exists()
    if not is_there:
        with working(f"Mapping {product.path.name}"):
            map_store(product, by, path)
    say(f"store: {path}{' (found)' if is_there else ''}")
