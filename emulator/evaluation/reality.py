"""The part of a scorecard that holds a run and its teachers against observations.

What was observed is read before a run is scored, so that a wrong path is found at
once. Where the weather of a run is simulated nothing is read, and the scorecard says
why.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from emulator.carbon.errors import SettingsError
from emulator.data.readers import workbook, zonal
from emulator.data.readers.zonal import Surface
from emulator.evaluation import observed
from emulator.evaluation.observed import LEAST_YEARS, Agreement, Comparison, Observation
from emulator.evaluation.settings import ObservedSettings


@dataclass(frozen=True, eq=False)
class Seen:
    """What the world did, as far as a run can be held against it.

    Attributes:
        not_applicable: Why it cannot; None where it can.
        observations: What was observed; empty where nothing was asked for.
    """

    not_applicable: str | None
    observations: Sequence[Observation]


@dataclass(frozen=True, eq=False)
class Held:
    """A scorecard's records beside what was observed.

    Attributes:
        seen: What was observed.
        comparisons: With the flux, teacher and simulation of their record.
    """

    seen: Seen
    comparisons: Sequence[tuple[tuple[str, str, str], Comparison]]

    def as_dict(self) -> dict[str, Any]:
        """Return the record for JSON, which knows no NaN."""
        return {
            "not_applicable": self.seen.not_applicable,
            "observations": [
                {"name": one.name, "region": one.region, "surface": one.surface}
                for one in self.seen.observations
            ],
            "comparisons": [
                {
                    **dict(zip(("flux", "teacher", "simulation"), name, strict=True)),
                    **asdict(one),
                    "series": {key: _agreement(it) for key, it in one.series.items()},
                }
                for name, one in self.comparisons
            ],
        }

    def markdown(self) -> str:
        """Return the section for people; empty where there is nothing to say."""
        if self.seen.not_applicable is None and not self.seen.observations:
            return ""
        return "\n".join(["", "## Against observations", "", *self._lines(), ""])

    def _lines(self) -> Iterator[str]:
        if self.seen.not_applicable is not None:
            yield self.seen.not_applicable
            return
        if not self.comparisons:
            yield (
                f"Nothing to compare: no record of a simulation that saw the real "
                f"weather shares {LEAST_YEARS} years with the observations."
            )
            return
        yield (
            "Annual totals about each series' own line in time; levels and trends are "
            "differently defined. An emulator can hardly be better than its teacher."
        )
        names = dict.fromkeys(name for name, _ in self.comparisons)
        for name in names:
            flux, teacher, simulation = name
            mine = [one for other, one in self.comparisons if other == name]
            yield f"\n**{flux}: {teacher}, {simulation}**\n"
            yield observed.table(mine).rstrip()


def gather(settings: ObservedSettings, domain: str, evidence: str) -> Seen:
    """Read what was observed.

    Args:
        settings: Which files.
        domain: Of the run, "land" or "ocean".
        evidence: What stands behind the run.

    Raises:
        SettingsError: If a workbook is given for a run of the ocean.
        UserError: If a file cannot be read; others as the readers raise them.
    """
    reason = observed.not_applicable(evidence)
    if reason is not None:
        return Seen(reason, [])
    surface: Surface = "land" if domain == "land" else "ocean"
    found = []
    if settings.workbook is not None:
        if surface != "land":
            raise SettingsError(
                f"observed.workbook is {settings.workbook!r}, of which the residual "
                f"land sink is compared, but this run is of the {surface}. Give "
                f"observed.zonal=[FILE] with a product of the {surface}."
            )
        found.append(observed.residual(workbook.read(Path(settings.workbook))))
    for name in settings.zonal:
        found += observed.by_latitude(zonal.read(Path(name), surface))
    return Seen(None, found)


def hold(records: Sequence[Mapping[str, Any]], seen: Seen) -> Held:
    """Hold records of a scorecard against what was observed.

    Args:
        records: As ``scores.records`` makes them.
        seen: What was observed.
    """
    found = [
        ((record["flux"], record["teacher"], record["simulation"]), one)
        for record in records
        for one in observed.of_record(record, seen.observations)
    ]
    return Held(seen, found)


def _agreement(found: Agreement) -> dict[str, Any]:
    return {
        "detrended_r": {
            **found.detrended_r.as_dict(),
            "fisher": found.fisher.as_dict(),
        },
        "detrended_rmse": found.detrended_rmse.as_dict(),
        "sd_ratio": found.sd_ratio if math.isfinite(found.sd_ratio) else None,
    }
