"""What a product of forcing costs in carbon: global fluxes from it and the own one.

The same networks answer for the product as it is, for the product mapped by a fit that
did not see the years that are scored, and for what the teachers saw. CO2 is the same
for all three, so that only the weather differs.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.budget import annual_total, area_rate
from emulator.carbon.errors import SettingsError
from emulator.carbon.timeaxis import as_months, years_of
from emulator.data.mapping.products import Pair, Product, Years
from emulator.data.mapping.report import as_json, number, table
from emulator.data.mapping.store import ForcingMap
from emulator.data.stores import FORCING_SCHEMA, open_store
from emulator.data.writing import write_text
from emulator.evaluation.scores import NET_FLUXES
from emulator.learning.inference import Emulator

Array = NDArray[np.float64]
Cost = dict[str, Any]

DEFINITIONS = {
    "own, mapped, unmapped": "the total of each year, mean of the teachers, with the "
    "forcing that they saw, with the product mapped, and with the product as it is",
    "bias": "mean of the difference from own over years",
    "RMSE": "root of the mean square of the difference",
    "RMSE of anomalies": "the same once the mean over these years is taken from each",
}


def forcing_cost(emulator: Emulator, found: Pair, held_out: ForcingMap) -> Cost:
    """Return global annual fluxes in the withheld years, by forcing.

    Args:
        emulator: A run that was trained on forcing like ``found.onto``.
        found: The product and the own forcing; one of them a forcing store, whose CO2
            counts (that of the own one first).
        held_out: A map that did not see ``found.scored``.

    Raises:
        SettingsError: If neither is a forcing store, the run has no net flux or needs
            forcing that is not mapped, or withheld years cannot all be answered.
        CheckpointError: If the run does not fit the forcing.
    """
    flux = next((one for one in NET_FLUXES if one in emulator.fluxes), None)
    if flux is None:
        raise SettingsError(
            f"The run predicts {', '.join(emulator.fluxes)}, but the cost in carbon is "
            f"told for {' or '.join(NET_FLUXES)}. Give a run that has one."
        )
    names = emulator.forcing_names
    if lacking := sorted(set(names) - set(found.variables)):
        raise SettingsError(
            f"The run needs {', '.join(lacking)}, which is not mapped: only "
            f"{', '.join(found.variables)} are. Add them to variables."
        )
    co2 = _co2(found)
    months = as_months(co2["time"].to_numpy())
    for product in (found.product, found.onto):
        months = np.intersect1d(months, product.months)
    months = months[years_of(months) <= found.scored[-1]]
    own = _fields(found.onto, names, months)
    unmapped = _fields(found.product, names, months)
    mapped = {
        name: held_out.apply(name, values, months) for name, values in unmapped.items()
    }
    totals = {}
    for kind, fields in (("own", own), ("mapped", mapped), ("unmapped", unmapped)):
        forcing = _forcing(found, fields, co2, months)
        totals[kind] = _totals(emulator, flux, forcing, found.scored)
    return {
        "flux": flux,
        "evidence": emulator.attributes()["evidence"],
        "map": held_out.title,
        "fitted": [int(found.fitted[0]), int(found.fitted[-1])],
        "years": found.scored.tolist(),
        "totals": {kind: values.tolist() for kind, values in totals.items()},
        "units": "PgC yr-1",
        **{
            kind: _scores(totals[kind] - totals["own"])
            for kind in ("mapped", "unmapped")
        },
        "definitions": DEFINITIONS,
    }


def write_cost(cost: Cost, folder: Path, run: str) -> Path:
    """Write it beside a map, ``cost-RUN.md`` and ``.json``; return the first."""
    write_text(folder / f"cost-{run}.json", as_json(cost))
    return write_text(folder / f"cost-{run}.md", markdown(cost, run))


def markdown(cost: Cost, run: str) -> str:
    """Return the cost for people."""
    return "\n".join(_lines(cost, run)) + "\n"


def _lines(cost: Cost, run: str) -> Iterator[str]:
    first, last = cost["fitted"]
    yield f"# Cost of forcing in carbon: {run}, {cost['map']}"
    yield ""
    yield f"Evidence: {cost['evidence']}."
    yield ""
    yield (
        f"Global {cost['flux']}, {cost['units']}, in years that the fit of the map "
        f"({first}-{last}) did not see:"
    )
    yield ""
    kinds = list(cost["totals"])
    rows = zip(cost["years"], *cost["totals"].values(), strict=True)
    yield from table(["year", *kinds], [_row(*row) for row in rows])
    yield from table(
        ["against own", "bias", "RMSE", "RMSE of anomalies"],
        [_row(kind, *cost[kind].values()) for kind in ("mapped", "unmapped")],
    )
    yield from (f"- **{name}**: {text}" for name, text in cost["definitions"].items())


def _row(name: object, *values: float) -> list[str]:
    return [str(name), *map(number, values)]


def _co2(found: Pair) -> xr.Dataset:
    """Return the CO2 of the first of the two that is a forcing store."""
    for product in (found.onto, found.product):
        if product.is_forcing_store:
            store = open_store(product.path, FORCING_SCHEMA)
            return store[["co2", "co2_normal"]].load()
    raise SettingsError(
        f"Neither {found.product.path} nor {found.onto.path} is a forcing store, and "
        f"without its CO2 nothing can be predicted. Prepare one of the two with "
        f"`sink-emulator prepare forcing=NAME`."
    )


def _fields(
    product: Product, names: Sequence[str], months: NDArray[np.datetime64]
) -> dict[str, NDArray[np.float32]]:
    years = np.unique(years_of(months))
    fields = {}
    for name in names:
        values, there = product.of_years(name, years)
        fields[name] = values[np.isin(there, months)]
    return fields


def _forcing(
    found: Pair,
    fields: Mapping[str, NDArray[np.float32]],
    co2: xr.Dataset,
    months: NDArray[np.datetime64],
) -> xr.Dataset:
    """Return forcing as a network takes it."""
    about = found.onto.fields
    stamps = months.astype("M8[ns]")
    chosen = co2.sel(time=stamps)
    coords = {"time": stamps, "lat": about["lat"], "lon": about["lon"]}
    dims = ("time", "lat", "lon")
    told = {name: (dims, field, about[name].attrs) for name, field in fields.items()}
    return xr.Dataset(told, coords).assign(
        {str(name): ("time", one.to_numpy(), one.attrs) for name, one in chosen.items()}
    )


def _totals(emulator: Emulator, flux: str, forcing: xr.Dataset, years: Years) -> Array:
    """Return the mean of the teachers' global totals, PgC; shape (year,)."""
    answer = emulator.predict(forcing)[flux]
    months = as_months(answer["time"].to_numpy())
    values = answer.transpose("time", "teacher", "lat", "lon").to_numpy()
    cells = values.reshape(*values.shape[:2], -1)[..., emulator.cells.numpy()]
    # A teacher has no flux where it has no cell.
    rate = area_rate(np.nan_to_num(cells), emulator.area.numpy())
    known, totals = annual_total(rate.mean(axis=1), months)
    if lacking := sorted(set(years.tolist()) - set(known.tolist())):
        raise SettingsError(
            f"The run gives no answer for all months of {lacking}: it must know "
            f"{emulator.needs} before. Withhold fewer years."
        )
    chosen: Array = totals[np.isin(known, years)]
    return chosen


def _scores(wrong: Array) -> dict[str, float]:
    return {
        "bias": float(wrong.mean()),
        "rmse": float(np.sqrt((wrong**2).mean())),
        "anomaly_rmse": float(wrong.std()),
    }
