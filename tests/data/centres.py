"""A forcing centre on this disk: files of the tiny world's weather, and their list."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

from tests.worlds import tiny_forcing

TRUTH = tiny_forcing(first=1990, last=2008)
"""The weather of 1990 to 2009 over land: tas and pr."""

Change = Callable[[xr.Dataset], xr.Dataset]


class Centre:
    """Writes files into a folder and lists them.

    Attributes:
        folder: Where.
        listed: What ``index.json`` says, by name of the file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.listed: dict[str, dict[str, object]] = {}
        self.list()

    def month(self, month: str, status: str = "final", **changes: object) -> Path:
        """Write a month: the truth, ``add`` warmer, changed by ``change``."""
        stamp = np.datetime64(month, "M")
        return self._write(stamp, f"{month.replace('-', '')}_{status}", **changes)

    def days(self, month: str, first: int, last: int, **changes: object) -> None:
        """Write days whose mean over the month is the truth, each a bit warmer."""
        for day in range(first, last + 1):
            self.day(month, day, **changes)

    def day(self, month: str, day: int, **changes: object) -> Path:
        """Write a day: the month, warmer by 0.1 K for each day after the middle."""
        stamp = np.datetime64(f"{month}-{day:02d}", "D")
        length = (stamp.astype("M8[M]") + 1).astype("M8[D]") - stamp.astype(
            "M8[M]"
        ).astype("M8[D]")
        lean = 0.1 * (day - (length.astype(int) + 1) / 2)
        add = float(changes.pop("add", 0.0)) + lean
        return self._write(stamp, f"{stamp}_daily".replace("-", ""), add=add, **changes)

    def forget(self, name: str) -> None:
        """Offer a file no more."""
        (self.folder / name).unlink()
        del self.listed[name]
        self.list()

    def list(self) -> None:
        index = {"files": [{"name": n, **said} for n, said in self.listed.items()]}
        (self.folder / "index.json").write_text(json.dumps(index))

    def _write(
        self,
        stamp: np.datetime64,
        name: str,
        *,
        add: float = 0.0,
        change: Change = lambda told: told,
    ) -> Path:
        month = stamp.astype("M8[M]")
        told = TRUTH[["tas", "pr"]].sel(time=[month.astype("M8[ns]")])
        told["tas"] = (told["tas"] + np.float32(add)).assign_attrs(units="K")
        told["co2"] = ((), float(TRUTH["co2"].sel(time=month.astype("M8[ns]"))))
        told["co2"].attrs["units"] = "ppm"
        told["time"] = np.array([stamp], "M8[ns]")
        path = self.folder / f"tiny_{name}.nc"
        change(told).to_netcdf(path, engine="netcdf4")
        self.announce(path)
        return path

    def announce(self, path: Path) -> None:
        content = path.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        self.listed[path.name] = {"bytes": len(content), "sha256": sha256}
        self.list()
