"""Nights of a made-up deployment, as the tests of archive, mirror and faults need."""

from pathlib import Path

import numpy as np
import xarray as xr

from emulator.nightly import archive
from emulator.nightly.sinkmap import assemble

from .synthetic import prediction

DOMAINS = ("land", "ocean")


def predictions(last: str = "2001-12", step: float = 30.0) -> dict[str, xr.Dataset]:
    """Return two years of both domains, or less; the same months are the same."""
    whole = {domain: prediction(domain, step=step) for domain in DOMAINS}
    return {domain: each.sel(time=slice(None, last)) for domain, each in whole.items()}


def revised(
    given: dict[str, xr.Dataset], month: str, domain: str = "land", factor: float = 2.0
) -> dict[str, xr.Dataset]:
    """Return predictions with one month of one domain changed."""
    changed = given[domain].copy(deep=True)
    changed[{"land": "nbp", "ocean": "fgco2"}[domain]].loc[{"time": month}] *= factor
    return {**given, domain: changed}


def assembled(given: dict[str, xr.Dataset], day: str) -> xr.Dataset:
    return assemble(given["land"], given["ocean"], issued=np.datetime64(day, "s"))


def publish_night(
    repo: Path | str, given: dict[str, xr.Dataset], day: str, first: str = "2000-01"
) -> str:
    """Commit a night which predicted the months from ``first`` on; return its id."""
    window = assembled(given, day).sel(time=slice(first, None))
    window = window.sel(year=slice(int(first[:4]), None))
    parts = {name: each.sel(time=slice(first, None)) for name, each in given.items()}
    return archive.commit(
        repo, window, parts, message=f"night of {day}", properties={"issued": day}
    )
