"""The scorecard for people: Markdown from the dictionary that is the JSON."""

from collections.abc import Iterator, Sequence
from typing import Any

from emulator.evaluation import decomposition, judged, responses, targets
from emulator.evaluation.scores import DEFINITIONS

Card = dict[str, Any]

REGION_LIMIT = 12
"""Rows of a region table; all regions are in the JSON."""


def markdown(card: Card) -> str:
    """Return the scorecard as Markdown."""
    lines = [*_head(card)]
    lines += targets.markdown([targets.Row(**row) for row in card["targets"]])
    lines += _responses(card["responses"])
    lines += intervals(card["intervals"])
    lines += _decomposition(card["decomposition"])
    for record in card["records"]:
        lines += _record(record)
    lines += [
        "## Definitions",
        "",
        *(f"- **{name}**: {text}" for name, text in DEFINITIONS.items()),
        "",
        "## Baselines",
        "",
        *(f"- **{name}**: {text}" for name, text in card["baselines"].items()),
        "",
        "Chosen on validation years (one for each teacher):",
        "",
        *_choices(card),
    ]
    return "\n".join(lines) + "\n"


def _head(card: Card) -> Iterator[str]:
    split = card["split"]
    yield f"# Scorecard of {card['run']}"
    yield ""
    yield f"**Evidence: {card['evidence']}.** Scores of the **{split['part']}** years "
    yield f"{_years(split)}."
    yield ""
    yield "| | |"
    yield "|---|---|"
    facts = {
        "domain": card["domain"],
        "store": f"{card['store']} ({card['store_hash']})",
        "training years": _span(split["train"]),
        "validation years": _span(split["validation"]),
        "test years": _span(split["test"]),
        "withheld years": ", ".join(map(str, split.get("withheld", []))) or "none",
        "memory, gap": f"{card['memory']} months, {split['gap_years']} years",
        "fitted on": card["fitted_on"],
        "label climatology as input": card["label_climatology"],
        "forcing": ", ".join(card["forcing"]),
        "El Nino index": card["enso_index"] or "none",
        "members": card["members"],
        "checkpoint": card["checkpoint"][:16],
        "code": card["code_version"],
        "test scores read": f"{card['test_reads']} times",
    }
    for name, value in facts.items():
        yield f"| {name} | {value} |"
    yield ""
    for caveat in card["caveats"]:
        yield f"> {caveat}"
        yield ""


def _responses(effects: Sequence[Card]) -> Iterator[str]:
    """Show the effects of CO2 and climate, where simulations tell them apart."""
    if not effects:
        return
    yield "## Effects of CO2 and of climate"
    yield ""
    if any(effect["on"] == "A" for effect in effects):
        yield "> At sea A - B is the effect of CO2 and climate together."
        yield ""
    head = ["effect", "teacher", "years", "teacher's", "network's", "ratio"]
    rows = []
    for effect in effects:
        name = f"{effect['effect']}, {effect['on']} - {effect['off']}"
        rows += [
            [name, effect["teacher"], *_response_row(span)]
            for span in effect["regions"]["globe"]["spans"]
        ]
    yield "Mean annual totals of the globe, PgC yr-1:"
    yield ""
    yield from _table([*head, "within tolerance"], rows)
    yield "By latitude:"
    yield ""
    first = effects[0]["teacher"]
    rows = [
        [effect["effect"], effect["teacher"], band, *_response_row(span)]
        for effect in effects
        if effect["teacher"] == first
        for band, each in effect["regions"].items()
        if band != "globe"
        for span in each["spans"]
        if span["kind"] == "decade"
    ]
    yield from _table([*head[:2], "band", *head[2:], "within tolerance"], rows)
    yield "Sensitivity of the annual total:"
    yield ""
    yield from _table(
        [*head[:2], "unit", "of", *head[3:5], "ratio of means"],
        [
            [
                effect["effect"],
                effect["teacher"],
                effect["sensitivity"]["unit"],
                _number(effect["sensitivity"]["change"]),
                *(_fine(effect["sensitivity"][who]) for who in ("teacher", "network")),
                score_text(effect["ratio"]),
            ]
            for effect in effects
        ],
    )
    yield from (f"- **{name}**: {text}" for name, text in responses.DEFINITIONS.items())
    yield ""


def _response_row(span: Card) -> Iterator[str]:
    yield _span(span["years"])
    yield from (_number(span[part]) for part in ("teacher", "network", "ratio"))
    yield {True: "yes", False: "**no**", None: "-"}[span["within"]]


def _decomposition(found: Card) -> Iterator[str]:
    """Show where the spread of annual totals comes from."""
    if not found.get("components"):
        return
    yield f"## Spread of {found['flux']}, {found['simulation']}"
    yield ""
    yield (
        f"Standard deviation of annual totals, PgC yr-1, and its share of the sum of "
        f"variances, between {found['members']} members, "
        f"{len(found['teachers'])} teachers and two realisations of forcing where one "
        f"was given (`other_forcing`):"
    )
    yield ""
    yield from _table(
        ["place", "of", *decomposition.SOURCES],
        [
            [place, kind, *(_part(parts[name]) for name in decomposition.SOURCES)]
            for place, kinds in found["components"].items()
            for kind, parts in kinds.items()
        ],
    )
    if found["spread_skill"]:
        yield "Spread between members over the error of their mean:"
        yield ""
        yield from _table(
            ["teacher", "cells, monthly", "globe, annual"],
            [
                [name, *(_number(each[key]) for key in ("cell/month", "globe/year"))]
                for name, each in found["spread_skill"].items()
            ],
        )
    about = decomposition.DEFINITIONS.items()
    yield from (f"- **{name}**: {text}" for name, text in about)
    yield ""


def _part(source: Card | None) -> str:
    if source is None:
        return "-"
    share = source["share"]
    return f"{source['sd']:.3g}" + ("" if share is None else f" ({share:.0%})")


def intervals(found: Card | None) -> Iterator[str]:
    """Say what intervals hold, where the run has any; the first table is of scores."""
    if found is None:
        return
    level, years = f"{found['level']:.0%}", found["calibrated_years"]
    yield f"## Intervals of {found['flux']}, {found['simulation']}"
    yield ""
    yield (
        f"{level} intervals of the mean of {', '.join(found['teachers'])}, calibrated "
        f"for {found['calibrated_leads']} years after the last label, by the errors of "
        f"forecasts for {years[0]}-{years[-1]} from the origins "
        f"{found['about']['origins']}. The last label of the run is of "
        f"{found['last_label']}."
    )
    yield ""
    if not found["scores"]:
        yield (
            f"> None of the {found['months_out_of_reach']} scored months lies within "
            f"this reach: the first is in year {found['first_lead']} after the last "
            f"label. These intervals are not tested here; calibrate with more `leads` "
            f"for some that are."
        )
        yield ""
        return
    yield (
        f"Scored on {found['first_month']} to {found['last_month']}; "
        f"{found['months_out_of_reach']} other months are out of reach and have no "
        f"interval."
    )
    yield ""
    everyone = [("", found["scores"]), (", LightGBM quantiles", found["lightgbm"])]
    named = {
        key.replace("/", ", ") + who: each
        for who, scored in everyone
        for key, each in scored.items()
    }
    head = ["interval", f"coverage of {level}", "passes", "trials", "years", "width"]
    yield from _table(
        [*head, "interval score", "CRPS", "spread / error"],
        [[name, *_interval_row(each)] for name, each in named.items()],
    )
    yield "Coverage by year after the last label:"
    yield ""
    reached = {lead for each in named.values() for lead in each["by_lead"]}
    leads = sorted(reached, key=int)
    yield from _table(
        ["interval", *leads],
        [
            [
                name,
                *(
                    _number(each["by_lead"].get(lead, {}).get("coverage"))
                    for lead in leads
                ),
            ]
            for name, each in named.items()
        ],
    )
    yield from (f"- **{name}**: {text}" for name, text in judged.DEFINITIONS.items())
    yield ""


def _interval_row(each: Card) -> Iterator[str]:
    share = each["coverage"]
    yield score_text({**share, "value": share["found"]})
    yield "yes" if share["passes"] else "no"
    yield f"{share['trials']:.0f}"
    yield str(share["years"])
    # Three digits: fluxes of cells are near 1e-9.
    yield from (f"{each[part]:.3g}" for part in ("width", "interval_score", "crps"))
    yield _number(each.get("spread_skill"))


def _record(record: Card) -> Iterator[str]:
    scope = "" if record["scope"] == "all" else f", {record['scope']}"
    yield f"## {record['flux']}: {record['teacher']}, {record['simulation']}{scope}"
    yield ""
    yield (
        f"{record['first_month']} to {record['last_month']}, n = "
        f"{record['n_years']} years, {record['n_cells']} cells. Best baseline: "
        f"{record['best_baseline']['cells']} in cells, "
        f"{record['best_baseline']['annual'] or 'none'} in annual totals."
    )
    yield ""
    if record["weather_seen_in_training"] > 0:
        share = record["weather_seen_in_training"]
        yield (
            f"> {share:.0%} of these months saw weather that training saw too: no "
            f"test of new weather."
        )
        yield ""
    methods = record["methods"]
    columns = ["anomaly_r2", "shape_r2", "raw_r2", "cell_r2_median", "cell_r2_p10"]
    columns += ["skill_climatology", "skill_best_baseline"]
    yield "Cells, monthly:"
    yield ""
    yield from _table(
        ["method", *columns],
        [
            [name, *(score_text(found["cells"][column]) for column in columns)]
            for name, found in methods.items()
            if "cells" in found
        ],
    )
    columns = ["bias", "rmse", "annual_r2", "annual_r2_centred", "detrended_r"]
    columns += ["sd_ratio"]
    yield f"Annual totals, PgC yr-1, n = {record['n_years']}:"
    yield ""
    yield from _table(
        ["method", *columns],
        [
            [name, *(score_text(found["annual"][column]) for column in columns)]
            for name, found in methods.items()
            if "annual" in found
        ],
    )
    fisher = methods["network"].get("annual", {}).get("detrended_r", {}).get("fisher")
    if fisher:
        yield (
            f"Fisher's 95 % interval of the network's detrended r, n = {fisher['n']}: "
            f"{_number(fisher['low'])} to {_number(fisher['high'])}."
        )
        yield ""
    columns = ["phase_error_months", "amplitude_ratio"]
    columns += ["cell_phase_error_median", "cell_amplitude_ratio_median"]
    yield "Seasonal cycle:"
    yield ""
    yield from _table(
        ["method", *columns],
        [
            [name, *(_number(found["season"][column]) for column in columns)]
            for name, found in methods.items()
            if found.get("season")
        ],
    )
    for name, regions in record["regions"].items():
        yield from _region_table(name, regions, record["best_baseline"]["cells"])


def _region_table(name: str, regions: Card, baseline: str | None) -> Iterator[str]:
    largest = sorted(regions, key=lambda region: -regions[region]["area"])
    shown = [region for region in largest if region != "other"][:REGION_LIMIT]
    left = len(regions) - len(shown)
    yield f"Annual totals by region, {name}{f' ({left} more in JSON)' if left else ''}:"
    yield ""
    rows = []
    for region in shown:
        methods = regions[region]["methods"]
        if "annual" not in methods["network"]:
            continue
        network = methods["network"]["annual"]
        other = methods.get(baseline or "", {}).get("annual")
        rows.append(
            [
                region,
                score_text(network["bias"]),
                score_text(network["rmse"]),
                _number(other["rmse"]["value"]) if other else "-",
                score_text(network["annual_r2_centred"]),
                _number(other["annual_r2_centred"]["value"]) if other else "-",
            ]
        )
    yield from _table(
        [
            *("region", "bias", "rmse", f"rmse of {baseline}"),
            *("annual_r2_centred", f"of {baseline}"),
        ],
        rows,
    )


def _choices(card: Card) -> Iterator[str]:
    for flux, methods in card["choices"].items():
        for method, chosen in methods.items():
            if any(chosen):
                teachers = zip(card["teachers"], chosen, strict=False)
                text = "; ".join(f"{t}: {_choice(found)}" for t, found in teachers)
                yield f"- {flux}, {method}: {text}"


def _choice(found: Card) -> str:
    return ", ".join(f"{name} {value}" for name, value in found.items())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def score_text(found: Card | float | None) -> str:
    """Return a score with its interval where it has one."""
    if not isinstance(found, dict):
        return _number(found)
    if found["low"] is None:
        return _number(found["value"])
    low, high = _number(found["low"]), _number(found["high"])
    return f"{_number(found['value'])} ({low} to {high})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _fine(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _years(split: Card) -> str:
    years = split[split["part"]]
    if split["part"] == "withheld":
        return ", ".join(map(str, years))
    return _span(years)


def _span(years: Sequence[int]) -> str:
    return f"{years[0]}-{years[1]}"
