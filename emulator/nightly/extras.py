"""What a night's export holds beside the map: tables and page."""

from collections.abc import Callable, Mapping
from pathlib import Path

import xarray as xr

from emulator.nightly import archive, mirror
from emulator.nightly.budget_files import write_tables
from emulator.nightly.page import site

PAGE = "page"
TABLES = "tables"
"""Names in an export."""


def extras(
    repo: archive.Location, root: Path, folders: Mapping[str, Path]
) -> Callable[[Path], None]:
    """Return what writes tables and page into an export.

    Args:
        repo: Folder of the archive, or its URL.
        root: Folder of the deployment.
        folders: Run of each domain, whose card and scores the page shows.
    """

    def write(folder: Path) -> None:
        nights = archive.nights(repo)
        sink_map = archive.read_map(repo)
        known = archive.vintages(repo)
        earlier = _earlier(root, {vintage.name for vintage in known})
        told = set() if earlier is None else set(earlier["vintage"].to_numpy())
        history = [
            (vintage.name, archive.read_map(repo, vintage.snapshot))
            for vintage in known
            if vintage.name not in told
        ]
        written = write_tables(sink_map, folder / TABLES, history, earlier)
        previous = None
        if len(nights) > 1:
            previous = archive.read_map(repo, nights[-2].snapshot)
        site.write(
            sink_map,
            folder / PAGE,
            previous=previous,
            cards=folders,
            links={
                "sink.nc": "../sink.nc",
                **{path.name: f"../{TABLES}/{path.name}" for path in written},
            },
        )

    return write


def _earlier(root: Path, known: set[str]) -> xr.Dataset | None:
    """Return what the last export says of vintages, which never change.

    Reading all of them again would cost a night more with every month.
    """
    last = mirror.newest(root)
    path = None if last is None else last / TABLES / "vintages.zarr"
    if path is None or not path.is_dir():
        return None
    found: xr.Dataset = xr.open_zarr(path, chunks=None).load()
    kept = [name in known for name in found["vintage"].to_numpy()]
    return found.isel(vintage=kept) if any(kept) else None
