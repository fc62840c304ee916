"""How few live models stand for the mean of all, on the record of a budget's edition.

One table for people, one for programs, and the figure of both. The models' annual
sinks are those that the edition published; the emulators of the models that are not
live are assumed, with the error that the settings give them, and none is run.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from emulator.carbon.errors import UserError
from emulator.data.readers import workbook
from emulator.data.readers.workbook import Table, Workbook
from emulator.data.writing import write_table, write_text
from emulator.evaluation import ensembles, figures
from emulator.evaluation.ensembles import Array, EnsembleSettings, Result, Spread
from emulator.evaluation.settings import LiveSettings

NAME = "ensembles"
COLUMNS = ("live", "others", "window", "correlation", "score", "median", "low", "high")
"""Columns of the .csv; ``others`` is "unknown" or "emulated"."""

ALONE = (("#0072B2", "o"), ("#56B4E9", "s"), ("#009E73", "^"))
EMULATED = (("#E69F00", "v"), ("#D55E00", "D"), ("#CC79A7", "P"))
"""Colour (Okabe and Ito 2008) and marker of the lines, from the first on again."""

APART = 0.12
"""Between lines that share an abscissa, live models: their intervals stay legible."""


def report(settings: LiveSettings) -> Path:
    """Score live models and write ``ensembles.csv``, ``ensembles.md`` and ``.png``.

    Args:
        settings: Which edition, what to try, and where the files go.

    Returns:
        Path of the Markdown table.

    Raises:
        UserError: If the workbook cannot be read, or a land model has no value in a
            year that is needed.
        SettingsError: If the edition has too few models or years for what is asked.
    """
    book = workbook.read(Path(settings.workbook))
    models = _whole(book.land.models, settings.ensembles, settings.workbook)
    result = ensembles.score(models, book.land.models.years, settings.ensembles)
    folder = Path(settings.out)
    folder.mkdir(parents=True, exist_ok=True)
    figures.save(draw(result, evidence(book)), folder / f"{NAME}.png")
    write_table(folder / f"{NAME}.csv", COLUMNS, lines(result))
    return write_text(folder / f"{NAME}.md", markdown(result, book))


def evidence(book: Workbook) -> str:
    """Return what stands behind the numbers."""
    return (
        f"annual S_LAND of the models of the Global Carbon Budget {book.edition} "
        f"(v{book.version}); errors of emulators are assumed"
    )


def lines(result: Result) -> Iterator[tuple[object, ...]]:
    """Yield the lines of the .csv, under ``COLUMNS``; PgC yr-1 for ``rmse``."""
    for row in result.rows:
        known = [("unknown", w, "", skill) for w, skill in row.alone.items()]
        helped = [("emulated", "", c, skill) for c, skill in row.with_emulators.items()]
        for *case, skill in [*known, *helped]:
            for score, spread in asdict(skill).items():
                yield (row.live, *case, score, *spread.values())
        if math.isfinite(row.r2_needed):
            case = ["emulated", "", 1.0, "emulator_r2_needed"]
            yield (row.live, *case, row.r2_needed, "", "")


def markdown(result: Result, book: Workbook) -> str:
    """Return the table with what it stands on and where it comes from."""
    asked = result.settings
    parts = [
        "# Few live models for the mean of all",
        f"**Evidence: {evidence(book)}.** A live run differs from the final one of "
        f"its model as well, so that these errors are the least to expect.",
        ensembles.table(result).rstrip(),
        f"![RMSE by number of live models]({NAME}.png)",
        f"Every choice of live models is tried; {asked.choices} are drawn (seed "
        f"{asked.seed}) where there are more. The models: "
        f"{', '.join(book.land.models.columns)}.",
        f"Source: Global Carbon Project, Global Carbon Budget {book.edition}, "
        f"supplemental data v{book.version}, "
        f"https://doi.org/10.18160/gcp-{book.edition}, CC BY 4.0. Recipe: Ke et al. "
        f"(2024), Natl. Sci. Rev., nwae367.",
    ]
    return "\n\n".join(parts) + "\n"


def draw(result: Result, evidence: str) -> Figure:
    """Draw RMSE against the number of live models, without and with emulators.

    Args:
        result: What was found.
        evidence: What stands behind the numbers.
    """
    figure, (axis, *_) = figures.panels(1, evidence, height=4.0)
    asked = result.settings
    axis.axhline(result.sd, color="#999999", ls=":", lw=1.2)
    axis.annotate(
        "standard deviation of the mean of all",
        (1.0, result.sd),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        fontsize=8,
        color="#666666",
    )
    drawn: list[Any] = []
    for place, window in enumerate(asked.windows):
        found = [(row.live, row.alone[window]) for row in result.rows if row.alone]
        colour, marker = ALONE[place % len(ALONE)]
        aside = APART * (place - (len(asked.windows) - 1) / 2)
        bars = axis.errorbar(
            [live + aside for live, _ in found],
            [skill.rmse.median for _, skill in found],
            yerr=np.transpose([_reach(skill.rmse) for _, skill in found]),
            color=colour,
            marker=marker,
            ms=5,
            lw=1.4,
            elinewidth=0.9,
            label=f"live alone, adjusted on {window} years",
        )
        drawn.append(bars)
    for place, value in enumerate(asked.correlations):
        colour, marker = EMULATED[place % len(EMULATED)]
        drawn += axis.plot(
            [row.live for row in result.rows],
            [row.with_emulators[value].rmse.median for row in result.rows],
            color=colour,
            marker=marker,
            ms=5,
            ls="--",
            lw=1.4,
            label=f"others emulated, errors correlated {value:g}",
        )
    (first, last), (low, high) = result.years, ensembles.SHOWN
    axis.set_title(
        f"Live models for the mean of {result.models} land models, {first}-{last}; "
        f"emulators explain {asked.emulator_r2:.0%} about a line",
        loc="left",
        fontsize=10,
    )
    axis.set_xticks([row.live for row in result.rows])
    axis.set_xlabel("Number of live models")
    axis.set_ylabel("RMSE of the annual sink (PgC yr$^{-1}$)")
    axis.set_ylim(bottom=0.0)
    figure.legend(
        handles=drawn,
        title=f"Median choice ({low:.0%} to {high:.0%})",
        title_fontsize=8,
        alignment="left",
        fontsize=8,
        frameon=False,
        loc="outside right center",
    )
    return figure


def _reach(spread: Spread) -> tuple[float, float]:
    """Return how far the interval goes below and above the median."""
    return spread.median - spread.low, spread.high - spread.median


def _whole(table: Table, asked: EnsembleSettings, where: str) -> Array:
    """Return the models' sinks, (model, year), none missing in the years in use."""
    used = table.years >= asked.first - max(asked.windows)
    for name, values in table.columns.items():
        gaps = table.years[used & ~np.isfinite(values)]
        if gaps.size:
            raise UserError(
                f"{where}: {name} has no value in {', '.join(map(str, gaps))}, but "
                f"the mean of all needs every model in every year from "
                f"{asked.first - max(asked.windows)}. Give a later ensembles.first, "
                f"shorter ensembles.windows, or another edition."
            )
    return table.matrix()
