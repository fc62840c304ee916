"""Maps are read in bands that fit the chunks of their file and the memory."""

from pathlib import Path

import numpy as np
import pytest

from emulator.carbon.grid import Grid
from emulator.data.readers import bands
from emulator.data.readers.fields import NOTHING
from tests.data import cover_files as cover

GRID = Grid.regular(5.0)
CODES = np.arange(GRID.shape[0])[:, None] + np.zeros(GRID.shape, int)


@pytest.mark.parametrize(
    ("most", "chunk", "heights"),
    [
        # Rows that fit into memory, rows of a chunk, and the bands that come of it.
        (12, None, [12, 12, 12]),
        (12, 5, [10, 10, 10, 6]),
        (12, 36, [12, 12, 12]),
        (100, 36, [36]),
        (0.5, 36, [1] * 36),
    ],
)
@pytest.mark.parametrize("is_eastern", [False, True])
def test_bands_hold_whole_chunks_where_they_fit(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    most: float,
    chunk: int | None,
    heights: list[int],
    is_eastern: bool,
) -> None:
    monkeypatch.setattr(bands, "_BAND_BYTES", int(most * GRID.lon.size))
    chunks = None if chunk is None else (1, chunk, 9)
    columns = CODES + np.arange(GRID.shape[1])
    path = cover.write_classes(
        tmp_path / "map.nc", columns[None], GRID, chunks=chunks, is_eastern=is_eastern
    )
    found = np.full(GRID.shape, -1)
    with bands.open_map(path, "lccs_class", NOTHING) as held:
        assert held.grid.matches(GRID)
        seen = []
        for first, band in held.bands():
            found[first : first + len(band)] = band
            seen.append(len(band))
    np.testing.assert_array_equal(found, columns)
    assert seen == heights
