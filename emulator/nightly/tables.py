"""What stands beside the totals of a map: running totals, levels and closure.

All of it comes from the totals of the whole series, which is small: a night makes it
anew, whichever months are new.
"""

import xarray as xr

from emulator.nightly import ocean_sink, provenance, series
from emulator.nightly.adjust import WINDOW, adjusted
from emulator.nightly.budget_settings import BudgetSettings
from emulator.nightly.closure import Records, closure, read_records
from emulator.nightly.evidence import not_of_the_world

_ADDED = (WINDOW, "reference", "term", "land_number", "ocean_number", "co2_record")
"""Dimensions of what is added."""


def tables(sink_map: xr.Dataset, settings: BudgetSettings) -> xr.Dataset:
    """Return what is to be added to a sink map.

    Args:
        sink_map: All months of a map; of it only totals, fractions, areas and flags are
            used. What an earlier night added is passed over.
        settings: What is added.

    Returns:
        New variables of whole series, described in ``docs/sink_map.md``, and attributes
        that belong to the map.

    Raises:
        SettingsError: If members, windows or columns do not fit the map.
        StoreError: If the map has no totals of each teacher.
        UserError: If a table cannot be read.
    """
    sink_map = sink_map.drop_dims(_ADDED, errors="ignore")
    found = series.running(sink_map)
    totals = sink_map.drop_vars(found.data_vars, errors="ignore").merge(found)
    found = found.merge(series.departures(totals, settings.references))
    records = Records()
    if not_of_the_world(sink_map) is None:
        records = read_records(settings)
    sea = ocean_sink.numbers(totals, settings)
    totals, found = totals.merge(sea), found.merge(sea)
    moved = adjusted(totals, settings, records.book)
    totals, found = totals.merge(moved), found.merge(moved)
    closed = closure(totals, settings, records)
    found = found.merge(closed).assign_attrs(sea.attrs | moved.attrs | closed.attrs)
    for name, field in found.data_vars.items():
        field.attrs["coverage_content_type"] = provenance.content_type(str(name))
    return found
