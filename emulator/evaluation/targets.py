"""What was agreed that emulators shall reach, beside what a run reached.

One row for each quantity that applies to the run: an unmeasured one says so, and what
compares several runs (withheld years, few labels, new teachers) belongs to them. With
several teachers the worst one answers for all.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emulator.evaluation.hindcast import MEAN, NETWORK
from emulator.evaluation.scores import NET_FLUXES, TRANSIENT

Card = dict[str, Any]

SOURCE = (
    "Wanted values are agreed ones of this project (docs/method.md, section 7); those "
    "of single models say what beats an untuned network on the same test years."
)

GAIN_OVER_BASELINE = 0.10
"""By how much ``anomaly_r2`` of cells shall pass the best baseline."""

SD_RATIO = (0.85, 1.15)
"""Wanted ratio of standard deviations of annual totals, as for single DGVMs."""

TESTBED_CENTRED, TESTBED_CENTRED_LOW = 0.90, 0.80
"""Wanted ``annual_r2_centred`` of a land teacher of the testbed, and the lower end of
its interval."""

TESTBED_RELATIVE_ERROR = 0.02
"""Wanted RMSE of annual totals over the sink, ocean teachers of the testbed."""

PHASE_MONTHS = 0.5
"""Wanted mean absolute phase error of the seasonal cycle where there is one, months."""


@dataclass(frozen=True)
class ModelTarget:
    """What is wanted of the emulator of one real model.

    Attributes:
        score: Name in the record.
        part: "cells" or "annual".
        least: Least wanted value, or None.
        most: Most wanted value, or None.
    """

    score: str
    part: str
    least: float | None = None
    most: float | None = None


LPJWSL = (
    ModelTarget("anomaly_r2", "cells", least=0.66),
    ModelTarget("annual_r2_centred", "annual", least=0.95),
    ModelTarget("sd_ratio", "annual", *SD_RATIO),
)
"""An untuned GRU had 0.61 and 0.91-0.93; the ceiling is about 0.8 and 0.98."""

MITGCM_FORCING = (
    ModelTarget("shape_r2", "cells", least=0.66),
    ModelTarget("rmse", "annual", most=0.08),
)
"""A ridge had 0.52, an untuned GRU 0.61 with 0.15 PgC yr-1; 0.08 is 3 % of the sink."""

MITGCM_SURFACE = (
    ModelTarget("shape_r2", "cells", least=0.84),
    ModelTarget("rmse", "annual", most=0.06),
)
"""With the model's own surface state; an untuned GRU had 0.79."""


@dataclass(frozen=True)
class Row:
    """One target of a run.

    Attributes:
        quantity: What is wanted to be how.
        of: Teacher, or what the number belongs to.
        found: What the run has, in words; "not measured" where it has nothing.
        wanted: In words.
        reached: None where nothing was measured.
    """

    quantity: str
    of: str
    found: str
    wanted: str
    reached: bool | None


def rows(card: Card) -> list[Row]:
    """Return the targets that apply to the run of a scorecard."""
    records = _headlines(card["records"])
    if not records:
        return []
    found = [_worst(records, "anomaly_r2 above the best baseline", _gain)]
    land = records[0]["flux"] == "nbp"
    if card["evidence"] == "testbed":
        kernel = _centred if land else _relative
        name = "annual_r2_centred" if land else "RMSE of annual totals / sink"
        found.append(_worst(records, name, kernel))
    for record in records:
        found += _of_model(record, card.get("own_state") or [])
    found.append(_worst(records, "seasonal phase error, months", _phase))
    found += _effects(card["responses"])
    found += _intervals(card["intervals"])
    return found


def markdown(targets: Sequence[Row]) -> Iterator[str]:
    """Show the targets as a table."""
    if not targets:
        return
    yield "## Targets"
    yield ""
    yield "| quantity | of | found | wanted | reached |"
    yield "|---|---|---|---|---|"
    words = {True: "yes", False: "**no**", None: "-"}
    for row in targets:
        cells = (row.quantity, row.of, row.found, row.wanted, words[row.reached])
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield SOURCE
    yield ""


@dataclass(frozen=True)
class _Found:
    """A number beside its limit; ``margin`` is at least 0 where it is reached."""

    text: str
    wanted: str
    margin: float


Kernel = Callable[[Card], _Found | None]


def _headlines(records: Sequence[Card]) -> list[Card]:
    """Return the records of single teachers: net flux, transient, all cells."""
    mine = [
        record
        for record in records
        if record["flux"] in NET_FLUXES and record["scope"] == "all"
    ]
    simulations = {record["simulation"] for record in mine}
    first = next((name for name in TRANSIENT if name in simulations), None)
    return [
        record
        for record in mine
        if record["simulation"] == first and record["teacher"] != MEAN
    ]


def _worst(records: Sequence[Card], quantity: str, kernel: Kernel) -> Row:
    """Return the row of the teacher that is farthest from the target."""
    judged = [(kernel(record), record["teacher"]) for record in records]
    known = [(found, teacher) for found, teacher in judged if found is not None]
    if not known:
        return Row(quantity, _all(records), "not measured", "-", None)
    worst, teacher = min(known, key=lambda pair: pair[0].margin)
    reached = sum(found.margin >= 0 for found, _ in known)
    of = teacher
    if len(known) > 1:
        of = f"{teacher}, the worst; {reached} of {len(known)} reach it"
    return Row(quantity, of, worst.text, worst.wanted, reached == len(known))


def _all(records: Sequence[Card]) -> str:
    return ", ".join(record["teacher"] for record in records)


def _value(record: Card, part: str, score: str) -> Card | None:
    found = record["methods"][NETWORK].get(part, {}).get(score)
    return found if found and found["value"] is not None else None


def _with_interval(score: Mapping[str, Any]) -> str:
    if score["low"] is None:
        return f"{score['value']:.2f}"
    return f"{score['value']:.2f} ({score['low']:.2f} to {score['high']:.2f})"


def _gain(record: Card) -> _Found | None:
    methods = record["methods"]
    best = {
        name: found["cells"]["anomaly_r2"]["value"]
        for name, found in methods.items()
        if name != NETWORK and "cells" in found
    }
    own = _value(record, "cells", "anomaly_r2")
    best = {name: value for name, value in best.items() if value is not None}
    if own is None or not best:
        return None
    name = max(best, key=best.__getitem__)
    gain = own["value"] - best[name]
    return _Found(
        f"{gain:+.2f} ({own['value']:.2f}; {name} {best[name]:.2f})",
        f"at least +{GAIN_OVER_BASELINE:.2f}",
        gain - GAIN_OVER_BASELINE,
    )


def _centred(record: Card) -> _Found | None:
    found = _value(record, "annual", "annual_r2_centred")
    if found is None or found["low"] is None:
        return None
    margin = min(found["value"] - TESTBED_CENTRED, found["low"] - TESTBED_CENTRED_LOW)
    wanted = f"at least {TESTBED_CENTRED:.2f}, lower end {TESTBED_CENTRED_LOW:.2f}"
    return _Found(_with_interval(found), wanted, margin)


def _relative(record: Card) -> _Found | None:
    found = _value(record, "annual", "relative_error")
    if found is None:
        return None
    margin = TESTBED_RELATIVE_ERROR - found["value"]
    text = f"{found['value']:.1%}"
    return _Found(text, f"below {TESTBED_RELATIVE_ERROR:.0%}", margin)


def _phase(record: Card) -> _Found | None:
    found = record["methods"][NETWORK].get("season", {}).get("cell_phase_error_mean")
    if found is None:
        return None
    return _Found(f"{found:.2f}", f"below {PHASE_MONTHS:g}", PHASE_MONTHS - found)


def _of_model(record: Card, own_state: Sequence[str]) -> Iterator[Row]:
    """Yield the targets of a real model, where the teacher is one."""
    wanted: Sequence[ModelTarget] = ()
    if (record["teacher"], record["simulation"]) == ("LPJwsl", "S2"):
        wanted = LPJWSL
    elif (record["teacher"], record["simulation"]) == ("MITgcm-DIC", "A"):
        wanted = MITGCM_SURFACE if own_state else MITGCM_FORCING
    for target in wanted:
        text = " and ".join(
            f"{word} {limit:g}"
            for word, limit in (("at least", target.least), ("at most", target.most))
            if limit is not None
        )
        found = _value(record, target.part, target.score)
        name = f"{target.score}, {target.part}"
        if found is None:
            yield Row(name, record["teacher"], "not measured", text, None)
            continue
        value = found["value"]
        reached = (target.least is None or value >= target.least) and (
            target.most is None or value <= target.most
        )
        yield Row(name, record["teacher"], _with_interval(found), text, reached)


def _effects(effects: Sequence[Card]) -> Iterator[Row]:
    """Yield a row for each effect: the worst decade of all single teachers."""
    for name in dict.fromkeys(effect["effect"] for effect in effects):
        mine = [
            (effect, span)
            for effect in effects
            if effect["effect"] == name and effect["teacher"] != MEAN
            for span in effect["regions"]["globe"]["spans"]
            if span["within"] is not None
        ]
        first = next(effect for effect in effects if effect["effect"] == name)
        quantity = f"effect of {name}, {first['on']} - {first['off']}, decades"
        wanted = f"within {first['tolerance']:.0%} of the teacher's"
        if not mine:
            yield Row(quantity, first["teacher"], "not measured", wanted, None)
            continue
        effect, span = max(mine, key=lambda pair: _miss(pair[1]))
        reached = sum(span["within"] for _, span in mine)
        of = f"{effect['teacher']}, {span['years'][0]}-{span['years'][1]}"
        if len(mine) > 1:
            of += f", the worst; {reached} of {len(mine)} reach it"
        found = f"{span['network']:.2f} against {span['teacher']:.2f} PgC yr-1"
        if span["ratio"] is not None:
            found += f", ratio {span['ratio']:.2f}"
        yield Row(quantity, of, found, wanted, reached == len(mine))


def _miss(span: Card) -> float:
    miss = abs(span["network"] - span["teacher"])
    return float(miss / max(abs(span["teacher"]), 1e-12))


def _intervals(found: Card | None) -> Iterator[Row]:
    """Yield whether intervals hold what they say, and are sharper than trees'."""
    quantity, wanted = "coverage of intervals", "the level within the binomial interval"
    if found is None or not found["scores"]:
        reason = "not calibrated" if found is None else "no test month in reach"
        yield Row(
            quantity, "cell, region, globe", f"not measured: {reason}", wanted, None
        )
        return
    scores = found["scores"]
    failed = [key for key, each in scores.items() if not each["coverage"]["passes"]]
    text = f"{len(scores) - len(failed)} of {len(scores)} pass"
    if failed:
        text += f"; not {', '.join(key.replace('/', ' ') for key in failed)}"
    yield Row(quantity, "cell, region, globe", text, wanted, not failed)
    key = "cell/month"
    if key in scores and key in found["lightgbm"]:
        own, other = (scores[key]["width"], found["lightgbm"][key]["width"])
        yield Row(
            "width of cells' monthly intervals",
            "network against LightGBM quantiles",
            f"{own:.3g} against {other:.3g}",
            "sharper",
            own < other,
        )
