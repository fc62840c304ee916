"""Which figures a scorecard gets, and where their numbers come from."""

from pathlib import Path
from typing import Any

import numpy as np

from emulator.carbon.budget import area_total
from emulator.data.windows import Cube
from emulator.evaluation import figures, metrics
from emulator.evaluation.hindcast import NETWORK, Hindcast, covered

Record = dict[str, Any]

MOST_REGIONS = 9
"""Panels of the regional figure: the largest regions of the last region set."""


def draw(hindcast: Hindcast, card: Record, cube: Cube, folder: Path) -> list[Path]:
    """Draw the headline flux of the transient simulation; return the files.

    A full set for the mean of teachers, or the only one; where there are several, one
    more figure with the annual anomalies of each; where intervals were tested, one of
    them.
    """
    mine = [
        record
        for record in card["records"]
        if record["flux"] == hindcast.flux and record["scope"] == "all"
    ]
    # Sorted by rank, the first is the headline: its simulation, its mean of teachers.
    shown = [each for each in mine if each["simulation"] == mine[0]["simulation"]]
    if not shown:
        return []
    paths = _draw_record(hindcast, shown[0], card["evidence"], cube, folder)
    paths += _draw_teachers(shown, card["evidence"], folder)
    paths += _draw_effects(card["responses"], card["evidence"], folder)
    return paths + _draw_intervals(card["intervals"], card["evidence"], folder)


def _draw_intervals(found: Record | None, evidence: str, folder: Path) -> list[Path]:
    """Draw how intervals hold, where the run has any that could be tested."""
    if found is None or not found["scores"]:
        return []
    figure = figures.intervals(
        found["scores"],
        found["lightgbm"],
        found["level"],
        title=f"Intervals of {found['flux']}, {found['simulation']}, "
        f"{found['first_month']} to {found['last_month']}",
        evidence=evidence,
    )
    return [figures.save(figure, folder / "intervals.png")]


def _draw_effects(effects: list[Record], evidence: str, folder: Path) -> list[Path]:
    """Draw the effects on the globe, of the mean of teachers or the only one."""
    if not effects:
        return []
    first = effects[0]
    drawn = {
        f"{each['effect']}: {each['on']} - {each['off']}": (
            each["years"],
            each["regions"]["globe"]["teacher_annual"],
            each["regions"]["globe"]["network_annual"],
        )
        for each in effects
        if each["teacher"] == first["teacher"]
    }
    title = f"Effects on {first['flux']} of {first['teacher']}"
    figure = figures.effects(drawn, title=title, evidence=evidence)
    return [figures.save(figure, folder / "effects.png")]


def _draw_teachers(records: list[Record], evidence: str, folder: Path) -> list[Path]:
    first = records[0]
    panels = {
        record["teacher"]: (
            record["teacher_annual"],
            record["methods"][NETWORK]["annual_totals"],
        )
        for record in records
        # The panels share one axis of years.
        if record["years"] == first["years"] and record["years"]
    }
    if len(panels) < 2:
        return []
    figure = figures.regional_anomalies(
        first["years"],
        panels,
        title=f"Annual anomalies of the global total: {first['flux']}, "
        f"{first['simulation']}",
        evidence=evidence,
    )
    return [
        figures.save(figure, folder / f"teachers-{first['simulation'].lower()}.png")
    ]


def _draw_record(
    hindcast: Hindcast, record: Record, evidence: str, cube: Cube, folder: Path
) -> list[Path]:
    name = f"{record['teacher']} {record['simulation']}"
    label = name.lower().replace(" ", "-")
    title = f"{record['flux']} of {name}, {record['first_month'][:4]}"
    title += f"-{record['last_month'][:4]}"
    paths = []
    methods = record["methods"]
    series = {
        each: found["annual_totals"]
        for each, found in methods.items()
        if "annual_totals" in found
    }
    if series:
        figure = figures.annual_series(
            record["years"],
            record["teacher_annual"],
            series,
            title=f"Annual global total: {title}",
            evidence=evidence,
        )
        paths.append(figures.save(figure, folder / f"annual-{label}.png"))
        regions = _largest_regions(record)
        if regions:
            figure = figures.regional_anomalies(
                record["years"],
                regions,
                title=f"Regional annual anomalies: {title}",
                evidence=evidence,
            )
            paths.append(figures.save(figure, folder / f"regions-{label}.png"))

    s = hindcast.simulations.index(record["simulation"])
    t = hindcast.teachers.index(record["teacher"])
    rows = np.isfinite(hindcast.truth[s, t]).any(axis=1)
    months = hindcast.months[rows]
    truth = hindcast.truth[s, t][rows]
    network = hindcast.predictions[NETWORK][s, t][rows]
    normal = hindcast.climatology[s, t]
    skill = metrics.cell_r2(
        metrics.anomalies(network, months, normal),
        metrics.anomalies(truth, months, normal),
    )
    figure = figures.skill_map(
        cube.scatter(skill),
        cube.grid,
        title=f"R$^2$ of monthly anomalies in each cell: {title}",
        evidence=evidence,
    )
    paths.append(figures.save(figure, folder / f"skill-{label}.png"))
    if methods[NETWORK]["season"]:
        whole = covered(truth)
        lat = cube.grid.lat[cube.cells.numpy() // cube.grid.lon.size]
        bands = {
            "globe": np.ones(lat.size, bool),
            "north of 30 N": lat > 30,
            "30 S to 30 N": np.abs(lat) <= 30,
            "south of 30 S": lat < -30,
        }
        cycles = {}
        for band, inside in bands.items():
            area = np.where(inside & whole, hindcast.area, 0.0)
            if area.any():
                cycles[band] = (
                    metrics.mean_cycle(area_total(truth, area), months),
                    metrics.mean_cycle(area_total(network, area), months),
                )
        figure = figures.seasonal_cycle(
            cycles, title=f"Mean seasonal cycle: {title}", evidence=evidence
        )
        paths.append(figures.save(figure, folder / f"season-{label}.png"))
    return paths


def _largest_regions(record: Record) -> dict[str, tuple[list[float], list[float]]]:
    """Return teacher and network series of the largest regions of the last set."""
    if not record["regions"]:
        return {}
    regions = list(record["regions"].values())[-1]
    # "other" is what is left: the sea's or the ice's share, no region of its own.
    named = [region for region in regions if region != "other"]
    largest = sorted(named, key=lambda region: -regions[region]["area"])[:MOST_REGIONS]
    return {
        region: (
            regions[region]["teacher_annual"],
            regions[region]["methods"][NETWORK]["annual_totals"],
        )
        for region in largest
        if "annual_totals" in regions[region]["methods"][NETWORK]
    }
