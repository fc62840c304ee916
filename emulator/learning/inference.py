"""What was trained, in use: forcing in, every teacher's fluxes out.

Serves evaluation (``hindcast``: the months of a training store) and nights
(``Emulator.predict``: any forcing on the run's grid). Neither knows Lightning.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from emulator.carbon.errors import CheckpointError
from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import month_of, years_of
from emulator.carbon.variables import variable
from emulator.data.slow import slow_means, with_years_before
from emulator.data.windows import Cube, load_cube, usable_months
from emulator.learning.answering import Answering
from emulator.learning.batch import (
    Inputs,
    inputs_of_cube,
    make_inputs,
    place_latitudes,
)
from emulator.learning.blocks import Block, answerable, plan_blocks
from emulator.learning.checkpoint import (
    Checkpoint,
    checkpoint_hash,
    checkpoint_paths,
    load_checkpoint,
)
from emulator.learning.offered import read_forcing, require_cube
from emulator.learning.settings import decisive

log = logging.getLogger(__name__)

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Emulator:
    """The trained members of one run.

    Attributes:
        members: Checkpoints which differ in nothing but their training.
        sha256: Hash over the members' files.
        device: Where to compute.
    """

    members: tuple[Checkpoint, ...]
    sha256: str
    device: torch.device

    @property
    def first(self) -> Checkpoint:
        """One member, for all that the members share."""
        return self.members[0]

    @property
    def missing(self) -> int:
        """How many networks the run was to have, and has not: its training goes on."""
        wanted: int = self.first.settings["learning"]["members"]
        return max(wanted - len(self.members), 0)

    @property
    def unfinished(self) -> str:
        """What to say of a run with missing networks."""
        count = len(self.members)
        return (
            f"{count} of {count + self.missing} networks: its training did not end. "
            f"Give its command again; it goes on where it was."
        )

    @property
    def domain(self) -> str:
        """``land`` or ``ocean``."""
        return self.first.domain

    @property
    def grid(self) -> Grid:
        """The grid of forcing and fluxes."""
        return self.first.grid

    @property
    def cells(self) -> Tensor:
        """Place of each cell in the flattened map; (cell,)."""
        return self.first.cells

    @property
    def area(self) -> Tensor:
        """Area of the domain in each cell, m2; (cell,)."""
        return self.first.area

    @property
    def memory(self) -> int:
        """Months of forcing before a month that its answer depends on."""
        return self.first.model.memory

    @property
    def history(self) -> int:
        """Months of forcing before a month that must be given, at most.

        More than the memory where windows hang on the calendar, as the window of a
        December starts in January, and where slow means need whole years before.
        With pools, which begin in a stated year, less is needed while they are young.
        """
        model = self.first.model
        extra = self.first.months_per_block - 1 if model.is_anchored else 0
        slow = 12 * max(model.slow_years) + 11 if model.slow_years else 0
        return self.memory + extra + slow

    @property
    def needs(self) -> str:
        """What must be known before a month is answered, in words."""
        model = self.first.model
        if model.start_year is None:
            return f"up to {self.history} months"
        start = np.datetime64(f"{model.start_year}-01", "M")
        last = start + self.first.months_per_block - 1
        return (
            f"all months from {start - self.memory} on, from which pools are carried "
            f"up to {last}"
        )

    @property
    def forcing_names(self) -> tuple[str, ...]:
        """Forcing variables that must be given, besides CO2."""
        return self.first.forcing

    @property
    def teachers(self) -> tuple[str, ...]:
        """Names of the teachers."""
        return self.first.teachers

    @property
    def fluxes(self) -> tuple[str, ...]:
        """Names of the fluxes."""
        return self.first.fluxes

    def predict(
        self, forcing: xr.Dataset, *, teachers: Sequence[str] | None = None
    ) -> xr.Dataset:
        """Return every teacher's fluxes under a forcing.

        Args:
            forcing: Forcing variables (time, lat, lon) in canonical units on the
                run's grid, finite in its cells, and ``co2`` (time) in ppm; for a run
                with model.co2_as=rise also ``co2_normal``, its mean over the 30 years
                up to the month. Time may begin anywhere and end anywhere; months
                follow one another.
            teachers: Which teachers; all when None.

        Returns:
            ``<flux>`` (teacher, time, lat, lon), the mean over members, and
            ``<flux>_emulator_std``, their standard deviation (NaN with one member),
            kg m-2 s-1 in float32, NaN outside the teacher's cells, for the months
            whose memory is known.

        Raises:
            CheckpointError: If a teacher was never learned, or the forcing lacks a
                variable, values, months, or is on another grid.
        """
        places = [self._teacher(name) for name in teachers or self.teachers]
        months, weather, co2 = read_forcing(forcing, self.first)
        slow_years = self.first.model.slow_years
        known = with_years_before(np.isfinite(co2), months, max(slow_years, default=0))
        everything = np.ones(months.size, bool)
        blocks = self._plan(months, known, everything)
        asked = np.flatnonzero(answerable(blocks, months.size))
        if not asked.size:
            raise CheckpointError(
                f"The forcing from {months[0]} to {months[-1]} holds no month with "
                f"all that it depends on before it: {self.needs}, with CO2. Give "
                f"forcing that begins earlier."
            )
        lat = place_latitudes(self.grid, self.cells)
        seen, sequence = torch.from_numpy(weather), torch.arange(months.size)[None]
        slow = slow_means(seen, sequence, months, slow_years)
        mean, deviation = self._answer(
            [
                make_inputs(
                    member.normaliser,
                    lat,
                    months,
                    forcing=seen,
                    weather_month=month_of(months) - 1,
                    sequence=sequence,
                    co2=torch.from_numpy(co2)[None],
                    slow=slow,
                )
                for member in self.members
            ],
            {0: blocks},
            places,
            months.size,
        )
        names = [self.teachers[place] for place in places]
        coords = {
            "teacher": ("teacher", np.array(names, dtype=object)),
            "time": ("time", months[asked].astype("datetime64[ns]")),
            "lat": ("lat", self.grid.lat),
            "lon": ("lon", self.grid.lon),
        }
        dims = ("teacher", "time", "lat", "lon")
        fields = self._named(
            self._maps(mean[0][:, asked]), self._maps(deviation[0][:, asked]), dims
        )
        return xr.Dataset(fields, coords, self.attributes())

    def attributes(self) -> dict[str, str]:
        """Return the provenance of what is predicted."""
        about = self.first.about
        return {
            "domain": self.domain,
            "evidence": about["evidence"],
            "catalog": about["catalog"],
            "checkpoint": self.sha256,
            "code_version": about["code_version"],
            "training_store": about["store"],
            "training_store_hash": about["store_hash"],
            "training_months": f"{about['first_month']} to {about['last_month']}",
            "fitted_on": about["fitted_on"],
            "run": str(self.first.settings.get("name", "")),
            "members": json.dumps([member.about["seed"] for member in self.members]),
            "drift": about.get("drift", "{}"),
        }

    def hindcast(
        self, cube: Cube, wanted: NDArray[np.bool_] | None = None
    ) -> xr.Dataset:
        """Return the fluxes of what the simulations of a cube saw.

        Args:
            cube: With the run's forcing, teachers and cells.
            wanted: Months to answer, (time,); all that can be when None.

        Returns:
            ``<flux>`` and ``<flux>_emulator_std`` (simulation, teacher, time, cell),
            NaN where a simulation's memory is not known or a teacher has no cell.

        Raises:
            CheckpointError: If a teacher was never learned, or cells, forcing or grid
                are others.
        """
        require_cube(cube, self.first)
        places = [self._teacher(name) for name in cube.teachers]
        asked = np.ones(cube.months.size, bool) if wanted is None else wanted
        plan = {
            row: self._plan(cube.months, usable_months(cube, row, 0), asked)
            for row in range(len(cube.simulations))
        }
        mean, deviation = self._answer(
            [inputs_of_cube(cube, member.normaliser) for member in self.members],
            plan,
            places,
            cube.months.size,
        )
        cells = cube.cells.numpy()
        columns = cube.grid.lon.size
        coords = {
            "simulation": ("simulation", np.array(cube.simulations, dtype=object)),
            "teacher": ("teacher", np.array(cube.teachers, dtype=object)),
            "time": ("time", cube.months.astype("datetime64[ns]")),
            "cell": ("cell", cells),
            "lat": ("cell", cube.grid.lat[cells // columns]),
            "lon": ("cell", cube.grid.lon[cells % columns]),
        }
        dims = ("simulation", "teacher", "time", "cell")
        fields = self._named(mean, deviation, dims)
        return xr.Dataset(fields, coords, self.attributes())

    def _plan(
        self,
        months: NDArray[np.datetime64],
        known: NDArray[np.bool_],
        wanted: NDArray[np.bool_],
    ) -> list[Block]:
        return plan_blocks(
            months,
            known,
            wanted,
            length=self.first.months_per_block,
            memory=self.memory,
            is_anchored=self.first.model.is_anchored,
            origin=self.first.model.origin,
        )

    def _answer(
        self,
        inputs: Sequence[Inputs],
        plan: dict[int, list[Block]],
        teachers: Sequence[int],
        months: int,
    ) -> tuple[Floats, Floats]:
        """Return mean and deviation over members.

        Both have shape (simulation, teacher, time, flux, cell).
        """
        shape = (len(plan), len(teachers), months, len(self.fluxes), len(self.cells))
        mean = np.zeros(shape, np.float32)
        squares = np.zeros(shape if len(inputs) > 1 else 0, np.float32)
        known = self.first.normaliser.labelled.numpy()
        answered = np.zeros((len(plan), months), bool)
        for count, (member, seen) in enumerate(
            zip(self.members, inputs, strict=True), start=1
        ):
            asked = self._asked(member, seen)
            for row, blocks in plan.items():
                answered[row] = answerable(blocks, months)
                for column, teacher in enumerate(teachers):
                    for block, flux in asked.blocks(row, teacher, blocks):
                        # Welford's update: fluxes are small beside their mean.
                        value = flux.cpu().numpy()
                        place = (row, column, block.kept)
                        change = value - mean[place]
                        mean[place] += change / count
                        if squares.size:
                            squares[place] += change * (value - mean[place])
        deviation = np.full(shape, np.nan, np.float32)
        if squares.size:
            deviation = np.sqrt(squares / (len(inputs) - 1))
        for row in plan:
            for values in (mean, deviation):
                values[row][:, ~answered[row]] = np.nan
        there = known[list(teachers)][None, :, None]
        return np.where(there, mean, np.nan), np.where(there, deviation, np.nan)

    def _asked(self, member: Checkpoint, inputs: Inputs) -> Answering:
        return Answering(
            network=member.network().to(self.device),
            inputs=inputs.to(self.device),
            normaliser=member.normaliser.to(self.device),
            memory=self.memory,
            length=member.months_per_block,
            needs_map=member.model.needs_map,
        )

    def _teacher(self, name: str) -> int:
        if name not in self.teachers:
            raise CheckpointError(
                f"The network never saw the teacher '{name}': it learned "
                f"{', '.join(self.teachers)}. Ask for one of these, or train a run "
                f"whose data settings name '{name}'."
            )
        return self.teachers.index(name)

    def _maps(self, values: Floats) -> Floats:
        """Put (..., cell) on maps (..., lat, lon), NaN elsewhere."""
        rows, columns = self.grid.shape
        maps = np.full((*values.shape[:-1], rows * columns), np.nan, np.float32)
        maps[..., self.cells.numpy()] = values
        return maps.reshape(*values.shape[:-1], rows, columns)

    def _named(
        self, mean: Floats, deviation: Floats, dims: tuple[str, ...]
    ) -> dict[str, Any]:
        """Return variables of a data set; the flux axis stands after time."""
        axis = dims.index("time") + 1
        fields: dict[str, Any] = {}
        for place, flux in enumerate(self.fluxes):
            about = variable(flux)
            attrs = {"units": about.units, "long_name": about.long_name}
            fields[flux] = (dims, mean.take(place, axis), attrs)
            spread = {
                "units": about.units,
                "long_name": f"standard deviation between members of {about.long_name}",
            }
            fields[f"{flux}_emulator_std"] = (
                dims,
                deviation.take(place, axis),
                spread,
            )
        return fields


def load_emulator(path: Path | str, *, device: str = "cpu") -> Emulator:
    """Read all members of a run; one whose training did not end is warned of.

    Args:
        path: Folder of a run, or one ``emulator.pt``.
        device: "cpu" or "cuda".

    Raises:
        CheckpointError: If there is none, one is damaged or of another format, or
            the members belong to different runs.
    """
    paths = checkpoint_paths(Path(path))
    members = tuple(load_checkpoint(file) for file in paths)
    for file, member in zip(paths, members, strict=True):
        if decisive(member.settings) != decisive(members[0].settings):
            raise CheckpointError(
                f"{file} was trained with other settings than {paths[0]}. Keep the "
                f"members of one run only in its folder."
            )
    found = Emulator(members, checkpoint_hash(paths), torch.device(device))
    if found.missing and Path(path).is_dir():
        log.warning("%s has %s", path, found.unfinished)
    return found


open_run = load_emulator


def hindcast(
    run_dir: Path | str,
    store: Path | str,
    *,
    years: tuple[int, int] | None = None,
    simulations: Sequence[str] | None = None,
    device: str = "cpu",
) -> xr.Dataset:
    """Return a run's fluxes for the months of a training store.

    Args:
        run_dir: Folder of a run, or one ``emulator.pt``.
        store: The training store.
        years: First and last year; all when None.
        simulations: Which simulations; all of the store when None.
        device: "cpu" or "cuda".

    Returns:
        As ``Emulator.hindcast``; values outside ``years`` are NaN.

    Raises:
        CheckpointError: If the run does not fit the store.
        StoreError: If the store lacks what the run needs.
    """
    emulator = load_emulator(run_dir, device=device)
    cube = cube_of_run(emulator, store, simulations)
    wanted = None
    if years is not None:
        calendar = years_of(cube.months)
        wanted = (calendar >= years[0]) & (calendar <= years[1])
    return emulator.hindcast(cube, wanted)


def cube_of_run(
    emulator: Emulator, store: Path | str, simulations: Sequence[str] | None = None
) -> Cube:
    """Read the variables of a run from a training store."""
    first = emulator.first
    return load_cube(
        store,
        fluxes=first.fluxes,
        forcing=first.forcing,
        static=first.static,
        simulations=simulations,
        teachers=first.teachers,
        co2_as=first.model.co2_as,
        slow_years=first.model.slow_years,
    )
