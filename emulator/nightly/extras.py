"""What a night's export holds beside the map: tables and page."""

from collections.abc import Callable, Mapping
from pathlib import Path

from emulator.nightly import archive
from emulator.nightly.budget_files import write_tables
from emulator.nightly.page import site

PAGE = "page"
TABLES = "tables"
"""Names in an export."""


def extras(repo: Path, folders: Mapping[str, Path]) -> Callable[[Path], None]:
    """Return what writes tables and page into an export.

    Args:
        repo: The archive of sink maps.
        folders: Run of each domain, whose card and scores the page shows.
    """

    def write(folder: Path) -> None:
        nights = archive.nights(repo)
        sink_map = archive.read_map(repo)
        history = [
            (vintage.name, archive.read_map(repo, vintage.snapshot))
            for vintage in archive.vintages(repo)
        ]
        (folder / TABLES).mkdir()
        written = write_tables(sink_map, folder / TABLES, history)
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
