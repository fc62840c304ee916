"""What a baseline may see: one flux of one store, split into years.

A baseline gets what the network gets: the forcing of the same memory, CO2, the static
fields, and labels of training months only. It may know the label climatology of its
own cell; in a cell whose labels it may not see (a held-out region, or no training
label) it borrows everything that comes from labels from the *donor*, the training cell
with the most similar climate.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import Part, YearSplit, month_of, years_of
from emulator.data.slow import year_places
from emulator.data.windows import Cube
from emulator.evaluation.metrics import monthly_climatology
from emulator.learning.withheld import years_but_test

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

FEWEST_LABELS = 24
"""Training labels that a cell needs for a climatology and a trend of its own."""

DONOR_BLOCK = 2048
"""Cells whose distances to all training cells are held at once."""


@dataclass(frozen=True, eq=False)
class Task:
    """One flux to be predicted from forcing, by whatever method.

    Attributes:
        domain: ``land`` or ``ocean``.
        labels: The flux, kg m-2 s-1, NaN where there is none; shape
            (simulation, teacher, time, cell).
        months: datetime64[M]; shape (time,).
        weather: Position in ``forcing`` that each simulation saw, -1 unknown; shape
            (simulation, time).
        forcing: Any unit; shape (weather_time, forcing, cell).
        co2: As the network is told of it; shape (simulation, time).
        slow: Mean forcing of the years before each calendar year, NaN where unknown;
            shape (simulation, year, span x forcing, cell).
        year: Calendar year, counted from the first; shape (time,).
        static: Any unit; shape (static, cell).
        lat: Degrees north; shape (cell,).
        area: Area of the domain, m2; shape (cell,).
        memory: Months of forcing before the predicted one that may be used.
        train: Months whose labels may be fitted; shape (time,).
        validation: Months on which choices are made; shape (time,).
        known: Months whose labels a fit may know once choices are made: train,
            validation and what was left out between them; shape (time,).
        wanted: Months to predict; shape (time,).
        held_out: Cells whose labels may not be seen; shape (cell,).
    """

    domain: str
    labels: Array
    months: npt.NDArray[np.datetime64]
    weather: npt.NDArray[np.int64]
    forcing: Array
    co2: Array
    slow: Array
    year: npt.NDArray[np.int64]
    static: Array
    lat: Array
    area: Array
    memory: int
    train: Mask
    validation: Mask
    known: Mask
    wanted: Mask
    held_out: Mask

    def last_fit(self, *, refit: bool) -> "Task":
        """Return the task of the fit that follows once choices are made.

        Args:
            refit: Whether it may use all known months, as a network that was fitted
                again; else it is that of the choices.
        """
        return replace(self, train=self.known) if refit else self

    @cached_property
    def usable(self) -> Mask:
        """Months whose whole memory is known; shape (simulation, time)."""
        known = (self.weather >= 0) & np.isfinite(self.co2)
        # A slow mean is known in all cells or in none.
        slow: Mask = np.asarray(np.isfinite(self.slow[..., 0]).all(axis=2))
        known &= slow[:, self.year]
        since = np.cumsum(np.pad(known, ((0, 0), (self.memory + 1, 0))), axis=1)
        width = self.memory + 1
        whole: Mask = since[:, width:] - since[:, :-width] == width
        return whole

    @cached_property
    def season(self) -> npt.NDArray[np.int64]:
        """Calendar month from 0 for January; shape (time,)."""
        return month_of(self.months) - 1

    @cached_property
    def own(self) -> Mask:
        """Cells that are judged by labels of their own; shape (teacher, cell)."""
        count = np.isfinite(self.labels[:, :, self.train]).sum(axis=2).max(axis=0)
        enough: Mask = count >= FEWEST_LABELS
        return enough & ~self.held_out

    @cached_property
    def donor(self) -> npt.NDArray[np.int64]:
        """The cell whose labels stand for each cell; shape (teacher, cell).

        Cells with labels of their own are their own donors. For others it is the
        training cell whose mean seasonal cycles of forcing are the most similar, each
        forcing scaled by its spread over cells and months.
        """
        cells = np.arange(self.area.size)
        donors = np.tile(cells, (self.labels.shape[1], 1))
        if self.own.all():
            return donors
        climate = self.forcing_climatology[0]
        mean = climate.mean((0, 2), keepdims=True)
        spread = climate.std((0, 2), keepdims=True)
        scaled = (climate - mean) / np.where(spread > 0, spread, 1.0)
        points = torch.from_numpy(scaled.reshape(-1, cells.size).T.astype(np.float32))
        for teacher, own in enumerate(self.own):
            if not own.any():
                continue
            for block in np.array_split(cells[~own], 1 + (~own).sum() // DONOR_BLOCK):
                nearest = torch.cdist(points[block], points[own]).argmin(1).numpy()
                donors[teacher, block] = cells[own][nearest]
        return donors

    @cached_property
    def own_climatology(self) -> Array:
        """Training mean of each cell's own labels; (simulation, teacher, 12, cell)."""
        return np.stack(
            [
                [monthly_climatology(y, self.months, self.train) for y in simulation]
                for simulation in self.labels
            ]
        )

    @cached_property
    def climatology(self) -> Array:
        """The donors' climatology, kg m-2 s-1; (simulation, teacher, 12, cell)."""
        return np.stack(
            [
                self.own_climatology[:, teacher][..., donor]
                for teacher, donor in enumerate(self.donor)
            ],
            axis=1,
        )

    @cached_property
    def anomalies(self) -> Array:
        """Labels minus each cell's own climatology, float32; shape of ``labels``."""
        return np.asarray(
            self.labels - self.own_climatology[:, :, self.season], np.float32
        )

    def targets(self, simulation: int, teacher: int, rows: Array) -> Array:
        """Return anomalies (row, cell) that may be fitted: NaN where held out."""
        found = self.anomalies[simulation, teacher][rows]
        return np.where(self.held_out, np.nan, found)

    def rows(self, simulation: int, chosen: Mask) -> npt.NDArray[np.int64]:
        """Return the chosen months with whole memory, as positions in time."""
        return np.flatnonzero(chosen & self.usable[simulation])

    @cached_property
    def forcing_climatology(self) -> Array:
        """Training climatology of what each simulation saw.

        Shape (simulation, 12, forcing, cell), in the unit of each forcing.
        """
        return np.stack(
            [
                monthly_climatology(
                    self.forcing[seen], self.months, self.train & (seen >= 0)
                )
                for seen in self.weather
            ]
        ).astype(np.float32)

    @cached_property
    def forcing_spread(self) -> Array:
        """Standard deviation of training anomalies, 1 where 0; (forcing, cell)."""
        total, count = 0.0, 0
        for simulation, seen in enumerate(self.weather):
            rows = np.flatnonzero(self.train & (seen >= 0))
            normal = self.forcing_climatology[simulation][self.season[rows]]
            total = total + ((self.forcing[seen[rows]] - normal) ** 2).sum(0)
            count += rows.size
        spread = np.sqrt(np.asarray(total) / count)
        return np.where(spread > 0, spread, 1.0).astype(np.float32)

    def weather_anomalies(self, simulation: int, cells: slice) -> Array:
        """Return the standardised forcing anomalies that a simulation saw.

        Returns:
            Shape (time, forcing, cell), float32; 0 where the weather is unknown, which
            no row of ``rows`` reaches.
        """
        seen = self.weather[simulation]
        normal = self.forcing_climatology[simulation][..., cells][self.season]
        departure = (self.forcing[..., cells][seen] - normal) / self.forcing_spread[
            :, cells
        ]
        departure[seen < 0] = 0.0
        return np.asarray(departure, np.float32)

    @cached_property
    def co2_anomalies(self) -> Array:
        """CO2 minus the simulation's training mean, over the spread; (sim., time).

        NaN where it is not known, which no row of ``rows`` reaches.
        """
        departure = self.co2 - np.nanmean(self.co2[:, self.train], 1, keepdims=True)
        spread = np.nanstd(departure[:, self.train])
        return np.asarray(departure / spread if spread > 0 else 0.0 * departure)

    @cached_property
    def slow_anomalies(self) -> Array:
        """Slow means minus the simulation's training mean, over the spread.

        Shape of ``slow``, float32; 0 where unknown, which no row of ``rows`` reaches.
        """
        train = np.unique(self.year[self.train])
        departure = self.slow - np.nanmean(self.slow[:, train], axis=1, keepdims=True)
        spread = np.sqrt(np.nanmean(departure[:, train] ** 2, axis=(0, 1, 3)))
        scaled = departure / np.where(spread > 0, spread, 1.0)[:, None]
        return np.asarray(np.nan_to_num(scaled), np.float32)

    def error(self, prediction: Array, chosen: Mask) -> Array:
        """Return the area-weighted squared error over chosen months, per teacher.

        Args:
            prediction: kg m-2 s-1 of the chosen months; shape
                (simulation, teacher, chosen, cell).
            chosen: Shape (time,).

        Returns:
            Sum of area x squared error over cells that may be seen; shape (teacher,).
        """
        miss = prediction - self.labels[:, :, chosen]
        seen = np.where(self.held_out, 0.0, self.area)
        return np.asarray(np.einsum("stmc,c->t", np.nan_to_num(miss) ** 2, seen))


def from_cube(
    cube: Cube,
    flux: str,
    split: YearSplit,
    memory: int,
    *,
    part: Part = "test",
    held_out: Mask | None = None,
) -> Task:
    """Return the task of predicting one flux of a cube.

    Args:
        cube: Labels and forcing, on any device.
        flux: Name of one of the cube's fluxes.
        split: Training, validation and test years.
        memory: Months of forcing before the predicted one.
        part: Which part of the years to predict: ``validation``, ``test`` or
            ``withheld``.
        held_out: Cells whose labels may not be seen; shape (cell,). None holds out
            no cell.

    Raises:
        ValueError: If the flux is not in the cube, or the part is another one.
    """
    if flux not in cube.fluxes:
        raise ValueError(
            f"Flux {flux!r} is not in the cube, which has {', '.join(cube.fluxes)}. "
            f"Load it with load_cube(..., fluxes=[{flux!r}])."
        )
    if part not in ("validation", "test", "withheld"):
        raise ValueError(
            f"Scores are taken on 'validation', 'test' or 'withheld' years, not on "
            f"{part!r}."
        )
    cells = cube.cells.cpu().numpy()
    return Task(
        domain=cube.domain,
        labels=cube.labels[..., cube.fluxes.index(flux), :].cpu().numpy(),
        months=cube.months,
        weather=cube.weather.cpu().numpy(),
        forcing=cube.forcing.cpu().numpy(),
        co2=cube.co2.cpu().numpy().astype(np.float64),
        slow=cube.slow.cpu().numpy(),
        year=year_places(cube.months),
        static=cube.static.cpu().numpy(),
        lat=latitudes(cube.grid, cells),
        area=cube.area.cpu().numpy(),
        memory=memory,
        train=split.months("train", cube.months),
        validation=split.months("validation", cube.months),
        known=np.isin(years_of(cube.months), years_but_test(split)),
        wanted=split.months(part, cube.months),
        held_out=np.zeros(cells.size, bool) if held_out is None else held_out,
    )


def latitudes(grid: Grid, cells: npt.NDArray[np.int64]) -> Array:
    """Return the latitude of flat cell numbers, degrees north; shape (cell,)."""
    found: Array = grid.lat[cells // grid.shape[1]]
    return found
