"""What every teacher would have simulated, month by month, and which months to ask for.

A night predicts only what its forcing changed: the months that are new or revised, and
those after them that remember them. Everything else is taken as an earlier night left
it, so that the whole is what one prediction of all months would give. Predictions stay
on the run's own grid (the module `sinkmap` says what one holds); two variables more
serve nights:

* ``member_mean(member, time, lat, lon)``, the mean of teachers that each network gives,
  kg m-2 s-1, from which intervals are made without asking again;
* ``forcing_key(time)``, a number that changes when the month's forcing does.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import CheckpointError, StoreError
from emulator.carbon.timeaxis import MONTHS_PER_YEAR, as_months
from emulator.data import forcing_archive, partial
from emulator.learning.inference import Emulator
from emulator.nightly import completion, layout, provenance
from emulator.nightly.budget import SINKS

Months = NDArray[np.datetime64]
Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]

MEMBER_MEAN = "member_mean"
KEY = "forcing_key"
MEMORY_KEY = "memory_key"
"""Attribute of a prediction: the key of all forcing before its first month."""

ROUNDING = 1e-6
"""Largest difference, as a share of the month's largest flux, that is no change: sums
of a matrix product depend on the size of the batch in their last bits (1e-7 was seen),
and such a difference must not count as a revision."""

_YEARS_AT_ONCE = 5
"""Of a prediction, so that ten teachers at 1 degree stay below 2 GB."""


def ask(
    emulator: Emulator, forcing: xr.Dataset, wanted: Mask | None = None
) -> xr.Dataset:
    """Return every teacher's sink, and what each network says of their mean.

    Args:
        emulator: The run.
        forcing: As ``Emulator.predict`` takes it.
        wanted: Months of the forcing to answer, (time,); all that can be when None.

    Returns:
        ``<flux>(teacher, time, lat, lon)`` and ``<flux>_emulator_std`` as
        ``Emulator.predict``, ``member_mean(member, time, lat, lon)``, a cell that a
        teacher lacks counted as 0, and ``fraction(lat, lon)``; kg m-2 s-1, float32.

    Raises:
        CheckpointError: If the forcing does not fit the run, or no month of it can be
            answered.
    """
    months = as_months(forcing["time"].to_numpy())
    wanted = np.ones(months.size, bool) if wanted is None else wanted
    parts: list[xr.Dataset] = []
    for first, last in _spans(wanted, emulator.history):
        window = forcing.isel(time=slice(max(first - emulator.history, 0), last + 1))
        answer = _ask_together(emulator, window.load())
        parts.append(answer.sel(time=slice(months[first], None)))
    if not parts:
        raise ValueError("No month is wanted.")
    found = parts[0] if len(parts) == 1 else xr.concat(parts, dim="time")
    share = np.zeros(np.prod(emulator.grid.shape))
    share[emulator.cells.numpy()] = emulator.area.numpy()
    share = share.reshape(emulator.grid.shape) / emulator.grid.cell_area()
    return found.assign(fraction=(("lat", "lon"), share))


def described(
    prediction: xr.Dataset, emulator: Emulator, forcing: xr.Dataset
) -> xr.Dataset:
    """Return a prediction with status, coverage and provenance of its forcing."""
    for stated in ("status", "coverage"):
        if stated in forcing:
            prediction[stated] = forcing[stated].sel(time=prediction["time"]).compute()
    attributes = emulator.attributes()
    prediction.attrs = attributes | provenance.of_forcing(forcing.attrs, attributes)
    return prediction


def affected(months: Months, changed: Mask, history: int) -> Mask:
    """Return which months may change when the forcing of some did; (time,).

    Args:
        months: Time axis without holes, datetime64[M]; (time,).
        changed: Months with new forcing; (time,).
        history: Months before a month that it may depend on (``Emulator.history``).
    """
    recent = np.convolve(changed, np.ones(history + 1))[: months.size]
    found: Mask = recent > 0.5
    return found


@dataclass(frozen=True, eq=False)
class Task:
    """What one domain has to do in a night.

    Attributes:
        emulator: The run.
        forcing: From its archive, lazily.
        stored: The predictions of the night before; None for the first night.
        months: Of the forcing, datetime64[M]; (time,).
        keys: Of the forcing's months; (time,).
        stale: Months to predict; (time,).
        restated: Months whose status or coverage is another; (time,).
    """

    emulator: Emulator
    forcing: xr.Dataset
    stored: xr.Dataset | None
    months: Months
    keys: NDArray[np.int64]
    stale: Mask
    restated: Mask

    @property
    def is_done(self) -> bool:
        """Whether nothing is to be predicted or restated."""
        return not (self.stale | self.restated).any()

    @property
    def is_fresh(self) -> bool:
        """Whether all months are predicted, nothing being stored or valid."""
        return self.stored is None

    @property
    def first(self) -> np.datetime64:
        """The first month that changes; the end of all time if none does."""
        places = np.flatnonzero(self.stale | self.restated)
        if not places.size:
            return np.datetime64("9999-12", "M")
        found: np.datetime64 = self.months[places[0]]
        return found

    @property
    def forecast(self) -> np.datetime64:
        """The first month after the last label: draws of all later years are joint."""
        return np.datetime64(self.emulator.first.about["last_month"], "M") + 1


def task(emulator: Emulator, forcing: xr.Dataset, stored: xr.Dataset | None) -> Task:
    """Compare a forcing with what has been predicted, and say what is to be done.

    Args:
        emulator: The run.
        forcing: From an archive (``forcing_archive.read``).
        stored: Predictions of the last night; None if there is none. Those of another
            checkpoint, grid or lineage of forcing count for nothing.

    Raises:
        StoreError: If the forcing ends before the predictions do: a night never takes
            a month back.
    """
    months = as_months(forcing["time"].to_numpy())
    keys = month_keys(forcing)
    everything = np.ones(months.size, bool)
    nothing = np.zeros(months.size, bool)
    if stored is None or stored.attrs.get("checkpoint") != emulator.sha256:
        return Task(emulator, forcing, None, months, keys, everything, nothing)
    known = as_months(stored["time"].to_numpy())
    if months[-1] < known[-1]:
        raise StoreError(
            f"The forcing of the {emulator.domain} ends in {months[-1]}, but "
            f"{known[-1]} was published already: its archive is older than the map, "
            f"perhaps from a backup. Let the source offer the months after "
            f"{months[-1]} again, or put back a newer archive."
        )
    place = np.searchsorted(months, known)
    begins = int(place[0])
    fits = place[-1] < months.size and (months[place] == known).all()
    if not fits or stored.attrs.get(MEMORY_KEY) != _joint(keys[:begins], forcing):
        return Task(emulator, forcing, None, months, keys, everything, nothing)
    changed = np.zeros(months.size, bool)
    changed[place] = stored[KEY].to_numpy() != keys[place]
    changed[place[-1] + 1 :] = True
    stale = affected(months, changed, emulator.history)
    restated = np.zeros(months.size, bool)
    for stated in ("status", "coverage"):
        if stated in forcing:
            now = forcing[stated].to_numpy()[place]
            then = stored[stated].to_numpy()
            restated[place] |= ~((now == then) | (np.isnan(now) & np.isnan(then)))
    return Task(emulator, forcing, stored, months, keys, stale, restated)


def month_keys(forcing: xr.Dataset) -> NDArray[np.int64]:
    """Return a number for each month that changes when its forcing does; (time,).

    From what the archive says of the month, so that the fields need not be read.
    """
    words = forcing_archive.fingerprints(forcing)
    return np.array([_digest(word) for word in words], np.int64)


def refreshed(work: Task, since: np.datetime64, *, completions: int = 0) -> xr.Dataset:
    """Return the predictions from a month on, asking for those that are stale.

    A month that comes out as it was, to rounding, stays bit by bit.

    Args:
        work: What is to be done.
        since: First month to return, datetime64[M]; no stale month lies before it,
            unless nothing is stored.
        completions: In how many ways a month that is not over is completed otherwise,
            to see what that changes (`completion`); 0 for not at all.

    Returns:
        The prediction, as `sinkmap` describes it, with ``member_mean``,
        ``forcing_key`` and ``completion_std(region, time)``, PgC yr-1.

    Raises:
        CheckpointError: If the run cannot answer for the last month of the forcing.
    """
    emulator, months = work.emulator, work.months
    stored = work.stored
    if work.stale.any():
        fresh = ask(emulator, work.forcing, work.stale)
        _require_end(emulator, fresh, months[work.stale][-1])
    if stored is None:
        found = fresh.sel(time=slice(since, None))
        begins = int(np.searchsorted(months, as_months(found["time"].to_numpy())[0]))
        memory = _joint(work.keys[:begins], work.forcing)
    else:
        names = [*_own_names(emulator), "fraction"]
        recent = stored.sel(time=slice(since, None))
        old = recent[names].load()
        # Months after a stored prediction's first can all be answered.
        found = _joined(old, fresh, _own_names(emulator)) if work.stale.any() else old
        memory = stored.attrs[MEMORY_KEY]
    place = np.searchsorted(months, as_months(found["time"].to_numpy()))
    found[KEY] = ("time", work.keys[place])
    found[completion.STD] = _completion_std(work, found["time"], completions)
    found = described(found, emulator, work.forcing)
    found.attrs[MEMORY_KEY] = memory
    if "snapshot" in work.forcing.attrs:
        found.attrs["forcing_snapshot"] = str(work.forcing.attrs["snapshot"])
    return found


def _completion_std(work: Task, time: xr.DataArray, completions: int) -> xr.DataArray:
    """Return what partial months may still change; (region, time), PgC yr-1."""
    if work.stored is not None and not work.stale.any():
        return work.stored[completion.STD].reindex(time=time).load()
    regions = layout.text(completion.region_names(work.emulator.grid))
    variance = np.zeros((regions.size, time.size))
    is_partial = work.forcing["status"].to_numpy() == layout.STATUS["partial"]
    for month in work.months[is_partial] if completions else []:
        others = partial.alternatives(
            work.forcing,
            month,
            completions,
            since=max(month - work.emulator.history, work.months[0]),
        )
        changes = completion.spread(work.emulator, others, month)
        # Months do not know of each other how they will end.
        variance += changes.reindex(time=time).fillna(0.0).to_numpy() ** 2
    return xr.DataArray(
        np.sqrt(variance),
        dims=("region", "time"),
        coords={"region": regions, "time": time},
    )


def window_start(tasks: Sequence[Task]) -> np.datetime64:
    """Return the January from which on a map must be assembled anew.

    That of the first month that changes in any domain, or of the first forecast year:
    the draws of all forecast years are joint.
    """
    first = min(min(work.first, work.forecast) for work in tasks)
    january: np.datetime64 = first.astype("M8[Y]").astype("M8[M]")
    return january


def _spans(wanted: Mask, history: int) -> list[tuple[int, int]]:
    """Return first and last place of stretches of wanted months, none too long.

    The very first stretch is longer by the history, since its first months may have no
    answer.
    """
    places = np.flatnonzero(wanted)
    spans: list[tuple[int, int]] = []
    for run in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1):
        start = 0
        while start < run.size:
            length = _YEARS_AT_ONCE * MONTHS_PER_YEAR
            if run[start] == 0:
                length += history
            part = run[start : start + length]
            spans.append((int(part[0]), int(part[-1])))
            start += length
    return spans


def _ask_together(emulator: Emulator, forcing: xr.Dataset) -> xr.Dataset:
    """Return the answers of all members for what can be answered of a forcing."""
    flux = _flux(emulator)
    means: list[Floats] = []
    mean = squares = np.zeros(())
    for count, member in enumerate(emulator.members, start=1):
        answer = replace(emulator, members=(member,)).predict(forcing)
        value = answer[flux].transpose("teacher", "time", "lat", "lon").to_numpy()
        if count == 1:
            mean, squares = np.zeros_like(value), np.zeros_like(value)
        # Welford's update, as in Emulator.predict.
        change = value - mean
        mean += change / count
        squares += change * (value - mean)
        # A cell that a teacher lacks counts as 0, as in its own total.
        together = np.nan_to_num(value).mean(axis=0, dtype=np.float64)
        means.append(together.astype(np.float32))
    several = len(emulator.members) > 1
    deviation = np.full_like(mean, np.nan)
    if several:
        deviation = np.sqrt(squares / (len(emulator.members) - 1))
    dims = ("teacher", "time", "lat", "lon")
    about = answer[flux].attrs
    spread = answer[f"{flux}_emulator_std"].attrs
    seeds = [int(member.about["seed"]) for member in emulator.members]
    return xr.Dataset(
        {
            flux: (dims, mean, about),
            f"{flux}_emulator_std": (dims, deviation, spread),
            MEMBER_MEAN: (("member", *dims[1:]), np.stack(means), about),
        },
        coords={**{name: answer[name] for name in dims}, "member": seeds},
    )


def _flux(emulator: Emulator) -> str:
    """Return the sink of a run's domain.

    Raises:
        CheckpointError: If the run has not learned it.
    """
    flux = SINKS[emulator.domain]
    if flux not in emulator.fluxes:
        raise CheckpointError(
            f"The run learned {', '.join(emulator.fluxes)}, but a map of the "
            f"{emulator.domain} needs {flux}. Train a run whose data settings list it."
        )
    return flux


def _own_names(emulator: Emulator) -> list[str]:
    """Return the variables of a prediction that an emulator answers."""
    flux = SINKS[emulator.domain]
    return [flux, f"{flux}_emulator_std", MEMBER_MEAN]


def _joined(old: xr.Dataset, fresh: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    """Return old predictions with the fresh ones in their place and after them."""
    before = as_months(old["time"].to_numpy())
    asked = as_months(fresh["time"].to_numpy())
    months = np.union1d(before, asked)
    # No month is left without values: fresh ones follow without a hole.
    found = old.reindex(time=months.astype("datetime64[ns]"))
    for slot, month in enumerate(asked):
        place = int(np.searchsorted(months, month))
        if month in before and all(
            _is_same(found[name][:, place].to_numpy(), fresh[name][:, slot].to_numpy())
            for name in (names[0], MEMBER_MEAN)
        ):
            continue
        for name in names:
            found[name][:, place] = fresh[name][:, slot]
    return found


def _is_same(old: Floats, new: Floats) -> bool:
    """Return whether a month's maps differ by no more than rounding."""
    if (np.isnan(old) != np.isnan(new)).any():
        return False
    largest = float(np.nanmax(np.abs(old), initial=0.0))
    difference = float(np.nanmax(np.abs(new - old), initial=0.0))
    return difference <= ROUNDING * largest


def _require_end(emulator: Emulator, fresh: xr.Dataset, wanted: np.datetime64) -> None:
    """Refuse to publish a map that ends before its forcing."""
    last = as_months(fresh["time"].to_numpy())[-1]
    if last != wanted:
        raise CheckpointError(
            f"The forcing of the {emulator.domain} reaches {wanted}, but the run "
            f"answers up to {last}: it needs {emulator.needs}. Train a run that is "
            f"carried further, and promote it."
        )


def _joint(keys: NDArray[np.int64], forcing: xr.Dataset) -> str:
    """Return one key of many months, and of the store that the archive began with."""
    lineage = {
        name: str(forcing.attrs.get(name)) for name in ("settings_hash", "catalog")
    }
    said = json.dumps([keys.tolist(), lineage], sort_keys=True)
    return hashlib.blake2b(said.encode(), digest_size=8).hexdigest()


def _digest(text: str) -> int:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
