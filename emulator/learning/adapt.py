"""A new teacher from a few years of its labels: its embedding, and nothing else.

All weights of a trained network stay as they are. What is fitted is the vector that
stands for the teacher, eight numbers or so, and its reference::

    flux = reference(month, cell) + scale(cell) * network(weather, vector)

The mean of few years is a poor climatology, for it holds their weather. But the
network explains most of that weather, so the reference is the mean of what it leaves:
for every vector it is profiled out, and the vector is fitted to departures from it
alone. One year then says nothing of the vector, unless a control was simulated too; it
stays the mean of the known teachers.

The vector is found by Gauss-Newton steps, damped as by Levenberg and Marquardt, from
one Gram matrix of answers and labels a step; the same labels give the same vector.

Source:
    Marquardt (1963), J. SIAM 11(2), 431-441 (damping); Smyth (2004), Stat. Appl. Genet.
    Mol. Biol. 3(1), equation 3.2 (variances moderated by those of others).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emulator.carbon.errors import CheckpointError, SettingsError
from emulator.carbon.timeaxis import month_of, years_of
from emulator.data.windows import Cube, load_cube, usable_months
from emulator.learning.adapt_settings import FewShotSettings
from emulator.learning.batch import Draw, TrainingData, gather_batch, inputs_of_cube
from emulator.learning.blocks import Block, answerable, plan_blocks
from emulator.learning.checkpoint import Checkpoint
from emulator.learning.losses import cell_weights
from emulator.learning.normalise import Normaliser
from emulator.learning.references import (
    LabelStatistics,
    balance_channels,
    exchange_channels,
    needed_channels,
)
from emulator.models import ModelSettings, build_network

Mask = NDArray[np.bool_]
Years = NDArray[np.int64]

EMBEDDING = "teacher.weight"
"""End of the name of the only weights that belong to single teachers."""

NUDGE = 0.05
"""Step of the differences that stand for derivatives; embeddings begin as standard
normal numbers, and answers are smooth in them."""

CELL_MONTHS_AT_ONCE = 100_000
"""Cell-months, memory included, that go through the network at once."""

CO2_SHARE = 0.5
"""Least spread of CO2, as a share of that of training, from which a slope in CO2 can be
told; a few years without a control hold far less."""


def cube_of_teacher(run: Checkpoint, store: Path | str, teacher: str) -> Cube:
    """Read a teacher that the run never saw, in the run's cells.

    Args:
        run: A member of the run.
        store: A training store with the teacher, on the run's grid, with its forcing,
            and with labels in the run's cells, of this teacher or of others.
        teacher: Its name.

    Returns:
        The cube of this teacher alone; where it has no label in a cell there is NaN.

    Raises:
        SettingsError: If the run knows the teacher.
        StoreError: If the store lacks the teacher, a variable or a simulation.
        CheckpointError: If it is on another grid, or lacks cells of the run.
    """
    if teacher in run.teachers:
        raise SettingsError(
            f"The run learned the teacher '{teacher}' with all its labels: there is "
            f"nothing to adapt. Give a run whose data.teachers leave it out."
        )
    cube = load_cube(
        store,
        fluxes=run.fluxes,
        forcing=run.forcing,
        static=run.static,
        simulations=run.simulations,
        co2_as=run.model.co2_as,
        slow_years=run.model.slow_years,
    )
    if teacher not in cube.teachers:
        raise SettingsError(
            f"{store} has no teacher '{teacher}', it has {list(cube.teachers)}. Name "
            f"one of these, or prepare a store with it."
        )
    place = np.searchsorted(cube.cells.numpy(), run.cells.numpy())
    place = np.minimum(place, len(cube.cells) - 1)
    missing = int((cube.cells.numpy()[place] != run.cells.numpy()).sum())
    if not cube.grid.matches(run.grid) or missing:
        raise CheckpointError(
            f"The run has {len(run.cells)} cells of the grid {run.grid.describe()}, "
            f"but {store} lacks {missing} of them, on {cube.grid.describe()}. Prepare "
            f"a store that names the run's teachers beside '{teacher}'."
        )
    at, who = torch.from_numpy(place), cube.teachers.index(teacher)
    return replace(
        cube,
        cells=run.cells,
        area=cube.area[at],
        teachers=(teacher,),
        labels=cube.labels[:, [who]][..., at],
        forcing=cube.forcing[..., at],
        static=cube.static[..., at],
        slow=cube.slow[..., at],
    )


def adaptation_years(cube: Cube, years: Years, count: int) -> Years:
    """Return the last years with labels in every month; shape (count,).

    Args:
        cube: Of one teacher.
        years: Those that may be known.
        count: How many are wanted.

    Raises:
        SettingsError: If there are not so many.
    """
    labelled = cube.labels.isfinite().any(dim=-1).any(dim=-1).any(dim=0).any(dim=0)
    found, months = np.unique(
        years_of(cube.months)[labelled.numpy()], return_counts=True
    )
    whole = np.intersect1d(found[months == 12], years)
    if whole.size < count:
        raise SettingsError(
            f"{cube.teachers[0]} has labels in {whole.size} of the years that may be "
            f"known, but {count} are asked for. Ask for fewer years."
        )
    return whole[whole.size - count :]


def adapt(
    member: Checkpoint, cube: Cube, years: Years, settings: FewShotSettings
) -> Checkpoint:
    """Fit the embedding and the reference of a new teacher.

    Args:
        member: A trained network, which is left as it is.
        cube: Of the teacher, as ``cube_of_teacher`` returns it.
        years: Calendar years whose labels may be used, and no others; shape (year,).
        settings: What the reference is made of, and how much work.

    Returns:
        A checkpoint that knows this teacher alone, on the same grid and cells; what
        it says of its store is still that of ``member``.

    Raises:
        SettingsError: If the years hold no month with labels and known forcing, not
            every calendar month, or no reference simulation.
        CheckpointError: If the network has no embedding of teachers.
    """
    known, split = embeddings(member.weights)
    plans = _plan(member, cube, np.isin(years_of(cube.months), years))
    chosen = np.stack([answerable(plan, cube.months.size) for plan in plans])
    rows = _reference_rows(member, cube, chosen)
    month = month_of(cube.months)
    if set(month[rows.any(axis=0)].tolist()) != set(range(1, 13)):
        raise SettingsError(
            f"{cube.teachers[0]} has no label of a reference simulation in every month "
            f"of the year in {_text(years)}, with {member.model.memory} months of "
            f"known forcing before it. Choose other years, or prepare the store with "
            f"more history."
        )
    normaliser = _reference(member, cube, chosen, rows, settings)
    has_own = settings.reference == "own" and _knows_labels(member)
    power = float(member.settings["learning"]["sd_power"])
    work = _Work(
        member=member,
        known=known,
        split=split,
        plans=plans,
        data=TrainingData(
            inputs=inputs_of_cube(cube, normaliser),
            normaliser=normaliser,
            labels=cube.labels,
            chosen=torch.from_numpy(chosen),
            weight=cell_weights(cube.area, normaliser, power),
        ),
        reference=torch.from_numpy(rows.any(axis=1)) if has_own else None,
    )
    vector = fit_vector(work, _cells(member, normaliser, settings), settings.steps)
    if has_own:
        # What the network leaves of these years is not explained by their weather.
        left = work.left(vector)
        scale = normaliser.scale[:, None]
        normaliser = replace(normaliser, reference=normaliser.reference + scale * left)
    seen = str(cube.months[chosen.any(axis=0)][-1])
    return replace(
        member,
        weights={**member.weights, **split(vector[None])},
        normaliser=normaliser,
        shape=replace(member.shape, teachers=1),
        teachers=cube.teachers,
        about={
            **member.about,
            "fitted_on": f"{member.about['fitted_on']} of other teachers; embedding "
            f"on labels of {_text(years)}, reference of "
            f"{'these years' if has_own else 'the other teachers'}",
            "last_month": max(seen, member.about["last_month"]),
        },
    )


Split = Callable[[Tensor], dict[str, Tensor]]
"""From vectors of teachers (teacher, embedding) to the weights that hold them."""


def embeddings(weights: Mapping[str, Tensor]) -> tuple[Tensor, Split]:
    """Return the vectors of the known teachers, and how others take their place.

    A network may hold more than one embedding, such as that of its pools; a teacher's
    vector joins them.

    Returns:
        Vectors, (teacher, embedding), and the function from vectors to weights.

    Raises:
        CheckpointError: If the network has no embedding of teachers.
    """
    names = [name for name in weights if f".{name}".endswith(f".{EMBEDDING}")]
    if not names:
        raise CheckpointError(
            "The network has no embedding of teachers that could be adapted. Train one "
            "that is conditioned by models.conditioning."
        )
    sizes = [weights[name].shape[1] for name in names]

    def split(vectors: Tensor) -> dict[str, Tensor]:
        parts = torch.split(vectors, sizes, dim=1)
        return {name: part.clone() for name, part in zip(names, parts, strict=True)}

    return torch.cat([weights[name] for name in names], dim=1), split


@dataclass(frozen=True, eq=False)
class _Work:
    """A network and the labels that a vector is fitted to.

    Attributes:
        member: The network.
        known: Vectors of its teachers; (teacher, embedding).
        split: From such vectors to weights.
        plans: Windows of each simulation.
        data: Labels, inputs and references of the new teacher.
        reference: Simulations whose mean departure is the reference's, to be profiled
            out, (simulation,); None where the reference is given.
    """

    member: Checkpoint
    known: Tensor
    split: Split
    plans: Sequence[Sequence[Block]]
    data: TrainingData
    reference: Tensor | None

    def gram(self, vectors: Tensor, cells: Tensor | None) -> Tensor:
        """Return the weighted products of answers and labels over all months.

        Args:
            vectors: Embeddings to try; (vector, embedding).
            cells: Which cells to use, (cell,); None = all.

        Returns:
            Of the answers of each vector and, last, of the labels, in units of the
            squared standardised flux, each less its mean over the reference months;
            (vector + 1, vector + 1), float64.
        """
        pieces = (
            [cells]
            if cells is None
            else torch.split(cells, self._at_once(len(vectors)))
        )
        size = len(vectors) + 1
        gram = torch.zeros(size, size, dtype=torch.float64)
        for piece in pieces:
            gram += self._gram(vectors, piece)
        return gram

    def left(self, vector: Tensor) -> Tensor:
        """Return the mean of label - answer over the reference months.

        Args:
            vector: The embedding; (embedding,).

        Returns:
            In units of the scale, 0 where there is no label; (1, 12, flux, cell).
        """
        every = torch.arange(self.data.labels.shape[-1])
        whole = self.member.model.needs_map
        pieces = [None] if whole else torch.split(every, self._at_once(1))
        found = []
        for piece in pieces:
            sums = self._sums(vector[None], piece)
            mean = sums.reference / sums.reference_count.clamp_min(1)[..., None]
            found.append(mean[..., 1] - mean[..., 0])
        return torch.cat(found, dim=-1)[None].float()

    def _at_once(self, vectors: int) -> int:
        """Return how many cells of all windows fit into memory at once."""
        windows = sum(len(plan) for plan in self.plans)
        length = self.member.model.memory + self.member.months_per_block
        return max(1, CELL_MONTHS_AT_ONCE // max(windows * length * vectors, 1))

    def _gram(self, vectors: Tensor, cells: Tensor | None) -> Tensor:
        sums = self._sums(vectors, cells)
        weight = self.data.weight[0]
        weight = weight if cells is None else weight[:, cells]
        weight = weight.double()[None, ..., None]
        gram = sums.products
        if self.reference is not None:
            mean = sums.reference / sums.reference_count.clamp_min(1)[..., None]
            flat = (weight * sums.all).flatten(0, 2).T @ mean.flatten(0, 2)
            count = weight * sums.count[..., None]
            gram = gram - flat - flat.T
            gram = gram + (count * mean).flatten(0, 2).T @ mean.flatten(0, 2)
        return gram

    @torch.no_grad()
    def _sums(self, vectors: Tensor, cells: Tensor | None) -> "_Sums":
        """Sum answers and labels over the windows."""
        network = self._network(vectors)
        fluxes = self.data.labels.shape[3]
        width = self.data.labels.shape[4] if cells is None else len(cells)
        sums = _Sums.zeros(fluxes, width, len(vectors) + 1)
        memory, length = self.member.model.memory, self.member.months_per_block
        for simulation, plan in enumerate(self.plans):
            counts = self.reference is not None and bool(self.reference[simulation])
            for block in plan:
                draw = Draw(
                    torch.tensor([simulation]),
                    torch.tensor([0]),
                    torch.tensor([block.first]),
                    None if cells is None else cells[None],
                )
                batch = gather_batch(self.data, draw, memory, length)
                answers = [
                    network(batch.forcing, batch.static, torch.tensor([place]))[0]
                    for place in range(len(vectors))
                ]
                there = (batch.weight[0] > 0).double()
                columns = torch.stack([*answers, batch.target[0]], dim=-1).double()
                columns = columns * there[..., None]
                weighted = columns * batch.weight[0].double()[..., None]
                sums.products.add_(weighted.flatten(0, 2).T @ columns.flatten(0, 2))
                month = self.data.inputs.month[batch.month[0]]
                sums.all.index_add_(0, month, columns)
                sums.count.index_add_(0, month, there)
                if counts:
                    sums.reference.index_add_(0, month, columns)
                    sums.reference_count.index_add_(0, month, there)
        return sums

    def _network(self, vectors: Tensor) -> nn.Module:
        """Return the network with ``vectors`` in place of its teachers."""
        shape = replace(self.member.shape, teachers=len(vectors))
        network = build_network(self.member.model, shape)
        network.load_state_dict({**self.member.weights, **self.split(vectors)})
        return network.eval()


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums over windows; float64.

    Attributes:
        products: Weighted, of columns with columns; (column, column).
        all: Of the columns by calendar month; (12, flux, cell, column).
        count: Labels in them; (12, flux, cell).
        reference: As ``all``, over the reference simulations.
        reference_count: As ``count``, over these.
    """

    products: Tensor
    all: Tensor
    count: Tensor
    reference: Tensor
    reference_count: Tensor

    @classmethod
    def zeros(cls, fluxes: int, cells: int, columns: int) -> "_Sums":
        shape = (12, fluxes, cells)
        sizes = ((columns, columns), (*shape, columns), shape, (*shape, columns), shape)
        return cls(*(torch.zeros(size, dtype=torch.float64) for size in sizes))


def fit_vector(work: _Work, cells: Tensor | None, steps: int) -> Tensor:
    """Return the embedding that fits the labels best; (embedding,).

    It starts from the mean of the known teachers or from one of them, whichever fits
    best.

    Args:
        work: Network and labels.
        cells: Which cells to use, (cell,); None = all.
        steps: Gauss-Newton steps.
    """
    starts = torch.cat([work.known.mean(dim=0, keepdim=True), work.known])
    errors = _errors(work.gram(starts, cells))
    # The mean unless a teacher is clearly nearer: of ties and nothing it comes first.
    best = starts[int(errors.argmin())]
    least, damping = float(errors.min()), 1.0
    size = len(best)
    found = None
    trial = best
    for _ in range(steps):
        nudged = torch.cat([trial[None], trial + NUDGE * torch.eye(size)])
        gram = work.gram(nudged, cells)
        error = float(_errors(gram)[0])
        if found is None or error < least:
            best, least, found = trial, error, gram
            damping = max(damping / 3, 1e-3)
        else:
            damping *= 4
        trial = best + _step(found, damping)
    # No further step tries the last one.
    if float(_errors(work.gram(trial[None], cells))[0]) < least:
        best = trial
    return best.clone()


def _errors(gram: Tensor) -> Tensor:
    """Return the squared error of each vector's answers against the labels."""
    label = gram[-1]
    errors = (gram.diagonal() - 2 * label + gram[-1, -1])[:-1]
    return errors.clamp_min(0)


def _step(gram: Tensor, damping: float) -> Tensor:
    """Return a damped Gauss-Newton step from the Gram matrix of nudged answers."""
    size = len(gram) - 2
    # Columns are the answer, the nudged answers and the labels: differences of them
    # are slopes and what is left.
    slopes = torch.zeros(size, len(gram), dtype=torch.float64)
    slopes[:, 0], slopes[:, 1:-1] = -1 / NUDGE, torch.eye(size) / NUDGE
    left = torch.zeros(len(gram), dtype=torch.float64)
    left[0], left[-1] = -1.0, 1.0
    square = slopes @ gram @ slopes.T
    unit = square.diagonal().mean().clamp_min(1e-12)
    damped = square + damping * unit * torch.eye(size)
    step: Tensor = torch.linalg.solve(damped, slopes @ gram @ left)
    return step.float()


def _plan(member: Checkpoint, cube: Cube, wanted: Mask) -> list[list[Block]]:
    """Return the windows of each simulation that hold labels of wanted months."""
    there = cube.labels.isfinite().any(dim=-1).any(dim=-1)[:, 0].numpy()
    return [
        plan_blocks(
            cube.months,
            usable_months(cube, row, 0),
            wanted & there[row],
            length=member.months_per_block,
            memory=member.model.memory,
            is_anchored=member.model.is_anchored,
            origin=member.model.origin,
        )
        for row in range(len(cube.simulations))
    ]


def _reference_rows(member: Checkpoint, cube: Cube, chosen: Mask) -> Mask:
    """Keep only the reference simulations of the chosen months."""
    names = member.model.reference_simulations or cube.simulations
    keep = np.array([name in names for name in cube.simulations])
    rows: Mask = chosen & keep[:, None]
    return rows


def _knows_labels(member: Checkpoint) -> bool:
    return member.model.label_climatology != "none"


def _reference(
    member: Checkpoint, cube: Cube, chosen: Mask, rows: Mask, settings: FewShotSettings
) -> Normaliser:
    """Return the member's normaliser with the new teacher in place of the others."""
    known, model = member.normaliser, member.model
    # A slope in CO2 needs CO2 that differs, by a control; without it is the others'.
    spread = float(cube.co2[torch.from_numpy(chosen)].double().std(correction=0))
    can_slope = spread >= CO2_SHARE * float(known.co2_spread)
    can_slope &= (model.label_climatology, model.co2_level) == ("co2", "cells")
    told = model if can_slope else replace(model, label_climatology="climatology")
    month = month_of(cube.months) - 1
    own = LabelStatistics.fit(cube, chosen, rows, month, told)
    others = _mean_teacher(known)
    if settings.reference == "others" or not _knows_labels(member):
        return _renewed(replace(others, labelled=own.known), model)
    years = float(rows.sum()) / 12
    scale, deviation = (
        moderated(mine, theirs.double(), years, settings.prior_years)
        for mine, theirs in ((own.scale, others.scale), (own.spread, others.spread))
    )
    slope = own.slope
    if model.label_climatology == "co2" and not can_slope:
        slope = others.slope.double()
    channels = replace(own, spread=deviation).channels().float()
    # As in fit_normaliser: the place, what labels say, what a law needs.
    end = known.static.shape[1] - needed_channels(model, scale.shape[1])
    shared, needed = known.static[:1, : end - channels.shape[1]], known.static[:1, end:]
    adapted = replace(
        known,
        static=torch.cat([shared, channels, needed], dim=1).contiguous(),
        reference=(own.mean + slope * (known.co2_centre - own.co2_mean)).float(),
        slope=slope.float(),
        scale=scale.float(),
        spread=deviation.float(),
        labelled=own.known,
    )
    return _renewed(adapted, model)


def _renewed(normaliser: Normaliser, model: ModelSettings) -> Normaliser:
    """Let what a law needs of a cell follow reference and scale."""
    reference, scale = normaliser.reference, normaliser.scale
    if model.is_balance:
        needed = balance_channels(reference, scale, normaliser.labelled, model)
    elif model.gas_exchange:
        slope, spread = normaliser.slope, normaliser.co2_spread
        needed = exchange_channels(reference, slope, scale, spread)
    else:
        return normaliser
    place = normaliser.static[:, : -needed.shape[1]]
    return replace(normaliser, static=torch.cat([place, needed], dim=1).contiguous())


def moderated(own: Tensor, others: Tensor, years: float, prior: float) -> Tensor:
    """Return deviations of few years, drawn towards those of other teachers.

    Args:
        own: About the mean of the same years, mean of squares; any shape.
        others: What is expected without them; same shape.
        years: Of labels behind ``own``.
        prior: Years of labels that ``others`` is worth.

    Source:
        Smyth (2004), equation 3.2: variances weighted by their degrees of freedom.
    """
    # The squares sum to years * own^2; their mean takes one degree of freedom.
    freedom = max(years - 1, 0.0)
    squares = years * own.square() if freedom else torch.zeros_like(own)
    return ((prior * others.square() + squares) / (prior + freedom)).sqrt()


def _mean_teacher(known: Normaliser) -> Normaliser:
    """Return the normaliser of the mean over teachers with the flux in the cell."""
    there = known.labelled.float()
    # Where no teacher has it all count, with the floors that they were given.
    share = torch.where(there.sum(dim=0) > 0, there, 1.0)
    share = share / share.sum(dim=0)

    def mean(values: Tensor) -> Tensor:
        weight = share[:, None] if values.ndim > share.ndim else share
        return (values * weight).sum(dim=0, keepdim=True)

    return replace(
        known,
        static=known.static.mean(dim=0, keepdim=True),
        reference=mean(known.reference),
        slope=mean(known.slope),
        scale=mean(known.scale.square()).sqrt(),
        spread=mean(known.spread.square()).sqrt(),
    )


def _cells(
    member: Checkpoint, normaliser: Normaliser, settings: FewShotSettings
) -> Tensor | None:
    """Draw cells with labels; None for a network that needs the whole map."""
    if member.model.needs_map:
        return None
    there = np.flatnonzero(normaliser.labelled[0].any(dim=0).numpy())
    if there.size > settings.cells:
        generator = np.random.default_rng(settings.seed)
        there = np.sort(generator.choice(there, settings.cells, replace=False))
    return torch.from_numpy(there)


def _text(years: Years) -> str:
    return ", ".join(map(str, years.tolist())) or "no year"
