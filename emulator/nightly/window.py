"""Write the newest steps of a data set into a Zarr group that holds all of them.

Steps are months or years: along them a group grows, and the last ones are revised.
Everything else (grid, teachers, regions) is its layout.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr
import zarr
import zarr.abc.store
from numpy.typing import NDArray

from emulator.carbon.errors import StoreError
from emulator.nightly import publish

CHUNK_BYTES = 2**16
"""Largest chunk of several months of a map. A vintage costs the chunks in which any
number changed: of a 1 degree map one month, of a 5 degree one half a year."""

STEPS_IN_SERIES = 120
"""Steps in a chunk of what is no map: ten years of months take some kilobytes."""

ISSUED, REVISION = "issued", "revision"

_TEACHERS = {"teacher", "land_teacher", "ocean_teacher"}

Store = zarr.abc.store.Store
Steps = dict[str, NDArray[Any]]
"""Something of each step, by the dimension that grows."""


def read(store: Store, path: str) -> xr.Dataset:
    """Open a group lazily."""
    found: xr.Dataset = xr.open_zarr(
        store, group=path or None, chunks=None, consolidated=False
    )
    return found


def write(store: Store, path: str, window: xr.Dataset) -> bool:
    """Write a window into a group, made when missing; only what changed is written.

    Steps outside the window stay. A variable on steps that only the group has is
    missing in the window's steps, one that only the window has before them. Where a
    month's numbers changed, ``issued`` is taken over and ``revision`` counted up.

    Args:
        store: An opened Zarr store.
        path: The group; "" is the root.
        window: The newest steps, or all.

    Returns:
        Whether any number changed; attributes are written only then.

    Raises:
        StoreError: If the window has another layout than the group and leaves out
            steps that the group has.
    """
    group = zarr.open_group(store, mode="a", path=path or None)
    if not any(group.array_keys()):
        _create(store, path, _counted(window, None))
        return True
    old = read(store, path)
    if reason := _other_layout(old, window):
        _require_all_steps(old, window, reason)
        window = _counted(window, old).load()
        for name in list(group.array_keys()):
            del group[name]
        _create(store, path, window)
        return True
    window = _recoded(window, old)
    added = _added(window, old)
    there = old
    if added:
        _create(store, path, xr.Dataset(added))
        there = read(store, path)
    if not _update(store, path, window, there) and not added:
        return False
    _describe(group, old, window)
    return True


def _step(dims: tuple[Any, ...]) -> str | None:
    """Return the dimension along which a variable grows, if it does."""
    found = (str(d) for d in dims if d in ("time", "year") or "draw_time" in str(d))
    return next(found, None)


def _axes(old: xr.Dataset, window: xr.Dataset) -> Steps:
    """Return the steps that the group will have."""
    shared = [dim for dim in _growing(old) if dim in window.dims]
    return {dim: np.union1d(old[dim], window[dim]) for dim in shared}


def _growing(old: xr.Dataset) -> list[str]:
    """Return the dimensions along which a group grows, by name.

    A group gives its variables in the order in which their metadata were read, which
    is not the same twice.
    """
    return sorted(str(dim) for dim in old.dims if _step((dim,)))


def _other_layout(old: xr.Dataset, window: xr.Dataset) -> str:
    """Return in which way the layouts differ; "" if they do not."""
    axes = _axes(old, window)
    for dim, axis in axes.items():
        if not np.array_equal(axis[: old.sizes[dim]], old[dim]):
            return f"some of its {dim} are new, but before the archive's last"
    for dim in sorted((set(old.indexes) & set(window.indexes)) - set(axes)):
        if not old[dim].variable.equals(window[dim].variable):
            return f"its {dim} differs"
    for name in sorted(map(str, {**old.variables, **window.variables})):
        both = [part.variables.get(name) for part in (old, window)]
        there = [field for field in both if field is not None]
        if all(_step(field.dims) not in axes for field in there):
            continue
        if len(there) == 1 and there[0].dtype.kind != "f":
            return f"{name} is not in both"
        if len({(field.dims, field.dtype.kind) for field in there}) > 1:
            return f"its {name} has other dimensions or another type"
    return ""


def _require_all_steps(old: xr.Dataset, window: xr.Dataset, reason: str) -> None:
    for dim in _growing(old):
        given = window[dim].to_numpy() if dim in window.dims else np.array([])
        if lost := old.sizes[dim] - int(np.isin(old[dim], given).sum()):
            raise StoreError(
                f"The night cannot be added to the archive: {reason}, and {lost} of "
                f"{old.sizes[dim]} steps of {dim} are not in it. Predict all months "
                f"again."
            )


def _create(store: Store, path: str, part: xr.Dataset) -> None:
    part.drop_encoding().to_zarr(
        store,
        group=path or None,
        mode="a",
        consolidated=False,
        zarr_format=3,
        encoding=_encoding(part),
    )


def _encoding(part: xr.Dataset) -> dict[str, dict[str, Any]]:
    encoding = publish.encoding_of(part)
    for name, field in part.variables.items():
        if field.ndim:
            encoding[str(name)]["chunks"] = _chunks(field)
        if field.ndim and field.dtype.kind == "f":
            # A chunk that is not there holds no numbers, rather than zeros.
            encoding[str(name)]["fill_value"] = np.nan
    return encoding


def _chunks(field: xr.Variable) -> tuple[int, ...]:
    """Return the length of a chunk along each dimension."""
    sizes = {str(dim): max(1, length) for dim, length in field.sizes.items()}
    step = _step(field.dims)
    if step is None:
        return tuple(sizes.values())
    is_map = any(dim.endswith("lat") for dim in sizes)
    if is_map:
        sizes |= dict.fromkeys(sizes.keys() & _TEACHERS, 1)
    sizes[step] = 1
    bytes_of_step = field.dtype.itemsize * math.prod(sizes.values())
    fitting = (n for n in (12, 6, 4, 3, 2) if n * bytes_of_step <= CHUNK_BYTES)
    sizes[step] = next(fitting, 1) if is_map else STEPS_IN_SERIES
    return tuple(sizes.values())


def _counted(window: xr.Dataset, old: xr.Dataset | None) -> xr.Dataset:
    """Return the window with its revisions: one more of each month known before."""
    if REVISION not in window:
        return window
    count = xr.zeros_like(window[REVISION])
    if old is not None and REVISION in old:
        before = old[REVISION].load().reindex(time=window["time"], fill_value=-1)
        count.data = before.to_numpy() + 1
    return window.assign({REVISION: count})


def _recoded(window: xr.Dataset, old: xr.Dataset) -> xr.Dataset:
    """Return the window with the group's codes for the same meanings.

    A window numbers the forcing products that it has; the group may know others.
    """
    for name in [n for n in window.data_vars if n in old.data_vars]:
        meanings = str(old[name].attrs.get("flag_meanings", "")).split()
        given = str(window[name].attrs.get("flag_meanings", "")).split()
        if given == meanings or not (given and meanings):
            continue
        codes = dict(zip(meanings, old[name].attrs["flag_values"], strict=True))
        for meaning in given:
            codes.setdefault(meaning, max(codes.values()) + 1)
        field = window[name]
        values = field.to_numpy().copy()
        for code, meaning in zip(field.attrs["flag_values"], given, strict=True):
            values[field == code] = codes[meaning]
        explained = {
            "flag_values": np.array(list(codes.values()), values.dtype),
            "flag_meanings": " ".join(codes),
        }
        window = window.assign({name: (field.dims, values, field.attrs | explained)})
    return window


def _added(window: xr.Dataset, old: xr.Dataset) -> dict[str, xr.Variable]:
    """Return the window's new variables, without numbers in the group's steps."""
    added = {}
    for name in [str(n) for n in window.variables if n not in old.variables]:
        field = window.variables[name]
        step = _step(field.dims)
        if step in old.dims:
            shape = [old.sizes[d] if d == step else n for d, n in field.sizes.items()]
            nothing = np.broadcast_to(field.dtype.type(np.nan), shape)
            field = xr.Variable(field.dims, nothing, field.attrs)
        added[name] = field
    return added


def _update(store: Store, path: str, window: xr.Dataset, old: xr.Dataset) -> bool:
    """Write what differs from the group, ``old``; return whether anything did."""
    group = zarr.open_group(store, mode="r+", path=path or None)
    axes = _axes(old, window)
    places = {dim: np.searchsorted(axis, window[dim]) for dim, axis in axes.items()}
    news = {dim: places[dim] >= old.sizes[dim] for dim in axes}
    other = {}
    for name, before in old.variables.items():
        field = window.variables.get(name)
        step = _step(before.dims)
        if name in (ISSUED, REVISION):
            continue
        if step is not None and step in axes:
            if field is None:
                field = _missing(before, {step: places[step].size})
            news[step] |= _put(group, str(name), before, field, places[step])
        elif field is not None and not bool(before.equals(field)):  # type: ignore[no-untyped-call]
            other[str(name)] = field
    if other:
        for name in other:
            del group[name]
        _create(store, path, xr.Dataset(other))
    if "time" in axes:
        for name, field in _stamps(old, window, places["time"], news["time"]).items():
            _put(group, name, old.variables[name], field, places["time"])
    return bool(other) or any(changed.any() for changed in news.values())


def _missing(like: xr.Variable, lengths: Mapping[str, int]) -> xr.Variable:
    """Return a variable without numbers, of other lengths."""
    shape = [lengths.get(str(dim), length) for dim, length in like.sizes.items()]
    nothing = np.broadcast_to(like.dtype.type(np.nan), shape)
    return xr.Variable(like.dims, nothing, like.attrs)


def _stamps(
    old: xr.Dataset, window: xr.Dataset, places: NDArray[Any], changed: NDArray[Any]
) -> dict[str, xr.Variable]:
    """Return when each month of the window was issued, and how often revised."""
    known = places < old.sizes["time"]
    stamps = {}
    for name in (ISSUED, REVISION):
        if name not in window or name not in old:
            continue
        before = old[name].to_numpy()[places[known]]
        values = window[name].to_numpy().copy()
        if name == ISSUED:
            values[known] = np.where(changed[known], values[known], before)
        else:
            values[:] = 0
            values[known] = before + changed[known]
        stamps[name] = xr.Variable("time", values)
    return stamps


def _put(
    group: zarr.Group,
    name: str,
    before: xr.Variable,
    field: xr.Variable,
    places: NDArray[Any],
) -> NDArray[np.bool_]:
    """Write the steps of a variable that differ; return which did.

    Args:
        group: Where it lies.
        name: Its name there.
        before: The variable as it is there.
        field: Its values in the window.
        places: Where the window's steps stand in the group.
    """
    array = group[name]
    if not isinstance(array, zarr.Array):
        raise TypeError(f"{name} is a group, not an array.")
    step = str(_step(before.dims))
    axis = before.dims.index(step)
    known = places < before.sizes[step]
    changed = ~known
    if not places.size:
        return changed
    size = max(array.shape[axis], int(places[-1]) + 1)
    array.resize((*array.shape[:axis], size, *array.shape[axis + 1 :]))
    for block in _blocks(array.shape, array.chunks, axis):
        new = _encoded(name, field[block], before.encoding).astype(array.dtype)
        differs = ~known
        if known.any():
            first, last = places[known][0], places[known][-1] + 1
            there = np.asarray(array[_with(block, axis, slice(first, last))])
            there = there.take(places[known] - first, axis)
            differs[known] = _differ(there, new.compress(known, axis), axis)
        for run in _runs(differs, places):
            where = slice(int(places[run][0]), int(places[run][-1]) + 1)
            array[_with(block, axis, where)] = new.take(run, axis)
        changed |= differs
    return changed


def _blocks(
    shape: tuple[int, ...], chunks: tuple[int, ...], axis: int
) -> Iterator[tuple[slice, ...]]:
    """Yield the chunks of an array, all along ``axis``: memory for one at a time."""
    sides = [
        [slice(None)] if i == axis else _cut(length, chunk)
        for i, (length, chunk) in enumerate(zip(shape, chunks, strict=True))
    ]
    yield from itertools.product(*sides)


def _cut(length: int, chunk: int) -> list[slice]:
    return [slice(i, min(i + chunk, length)) for i in range(0, length, chunk)]


def _with(block: tuple[slice, ...], axis: int, steps: slice) -> tuple[slice, ...]:
    return (*block[:axis], steps, *block[axis + 1 :])


def _encoded(
    name: str, field: xr.Variable, encoding: Mapping[Any, Any]
) -> NDArray[Any]:
    """Return a variable's numbers as its array holds them: times as counts of days."""
    said = {k: encoding[k] for k in ("units", "calendar", "dtype") if k in encoding}
    plain = xr.Variable(field.dims, field.to_numpy(), {}, said)
    encoded: NDArray[Any] = xr.conventions.encode_cf_variable(plain, name=name).values
    return encoded


def _differ(one: NDArray[Any], two: NDArray[Any], axis: int) -> NDArray[np.bool_]:
    """Return which steps differ anywhere; what is missing in both is the same."""
    same = one == two
    if one.dtype.kind == "f":
        same |= np.isnan(one) & np.isnan(two)
    others = tuple(i for i in range(one.ndim) if i != axis)
    differ: NDArray[np.bool_] = ~same.all(axis=others)
    return differ


def _runs(differs: NDArray[np.bool_], places: NDArray[Any]) -> list[NDArray[np.intp]]:
    """Return the differing steps of the window, in pieces without a gap."""
    steps = np.flatnonzero(differs)
    if not steps.size:
        return []
    return np.split(steps, np.flatnonzero(np.diff(places[steps]) != 1) + 1)


def _describe(group: zarr.Group, old: xr.Dataset, window: xr.Dataset) -> None:
    """Give group and arrays the window's attributes, beside those of their coding."""
    parts: list[tuple[zarr.Group | zarr.Array[Any], dict[Any, Any], dict[Any, Any]]]
    parts = [(group, old.attrs, window.attrs)]
    parts += [
        (group[str(name)], old[name].attrs, field.attrs)
        for name, field in window.variables.items()
        if name in old.variables
    ]
    for node, before, attrs in parts:
        now = dict(node.attrs)
        coding = {k: v for k, v in now.items() if k not in before}
        wanted = coding | {str(k): _plain(v) for k, v in attrs.items()}
        if wanted != now:
            node.attrs.put(wanted)


def _plain(value: Any) -> Any:
    """Return an attribute as JSON has it."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
