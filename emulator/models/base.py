"""What all networks share: their settings and the shape they are built for.

A network maps standardised inputs to standardised fluxes; units, climatologies and
references belong to ``emulator.learning.normalise``. Every network has the same call:

``forward(forcing, static, teacher) -> output`` with

* ``forcing``: (sample, memory + months, channel, cell), the months in order;
* ``static``: (sample, static, cell), what does not change with time;
* ``teacher``: (sample,) int64;
* ``output``: (sample, months, flux, cell), one answer for each month after the memory.

The answer for a month depends on no later month, and on none before the window.
"""

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor, nn

from emulator.carbon.closure import COMPONENT_SIGNS
from emulator.carbon.errors import SettingsError

LABEL_CLIMATOLOGIES = ("none", "climatology", "co2")
FORCING_CHANNELS = ("both", "anomaly", "level")
CO2_SLOPES = ("month", "annual")
CO2_LEVELS = ("cells", "total")
CO2_AS = ("level", "rise", "log")
CO2_BEYOND = ("extrapolate", "hold")
STEADY_FLUXES = ("zero", "free")
POOLS_FILL = ("month", "year")


@dataclass(frozen=True, eq=False)
class NetworkShape:
    """The sizes that data give to a network.

    Attributes:
        inputs: Channels of ``forcing``.
        statics: Channels of ``static``.
        outputs: Fluxes.
        teachers: Teachers, each with its own embedding.
        cells: Place of each cell on the map, lat * lon count + lon; int64, (cell,).
        grid_shape: Cells of the map, (lat, lon).
        forcing: Names of the forcing variables, in the order of their channels.
    """

    inputs: int
    statics: int
    outputs: int
    teachers: int
    cells: Tensor
    grid_shape: tuple[int, int]
    forcing: tuple[str, ...] = ()


@dataclass
class ModelSettings:
    """Settings of every network; each kind of network adds its own.

    Attributes:
        fluxes: Fluxes to emulate; empty = all of the data.
        forcing: Forcing variables to see; empty = all of the data.
        memory: Months of forcing before a month that its answer may depend on.
        slow_years: Numbers of years, each of which adds the mean of every forcing over
            that many calendar years before the month's own: what soils and trees
            remember. These years must be known, too (data.history_years).
        label_climatology: What of the labels themselves the emulator may know, all of
            it from training months: "none" (one mean and spread per flux: the only
            choice for held-out regions), "climatology" (mean of each teacher, calendar
            month and cell) or "co2" (the same plus a slope in CO2).
        co2_slope: With "co2": one slope for each calendar "month", or one "annual".
        co2_level: With "co2": whether the slope is that of all simulations learned in
            each cell ("cells"), or the same scaled for each teacher, so that the
            domain's total follows the reference simulations alone ("total"): a control
            says where a change of CO2 shows, the transient run by how much.
        co2_as: How CO2 is told, to the network and in the reference's line: its
            "level", its logarithm ("log", for pools: the effect on photosynthesis
            saturates), or its "rise", the logarithm of CO2 over its mean of the last
            30 years. Pools in balance with a level take up nothing: where they follow
            slowly the sink follows the rise, and a line in the level, learned while
            CO2 rose ever faster, goes too high.
        co2_beyond: What the network is told where CO2 lies outside that of training:
            the number itself ("extrapolate"), or the nearest that it knows ("hold"),
            so that beyond training only the reference's line changes with CO2.
        reference_simulations: Simulations behind the label climatology; empty = all
            that are learned.
        forcing_channels: Each forcing variable as anomaly from its own climatology
            ("anomaly"), as value on one global scale ("level"), or "both".
        position: Whether the network may know where on Earth a cell is; turn it off
            where it must answer for places that it never saw.
        scale_floor: Quantile over cells below which the standard deviation of a
            cell's labels is not trusted as a scale (deserts, ice).
        embedding: Length of the learned vector that stands for a teacher.
        closure: Whether the first of ``fluxes`` is what the others, its components,
            add up to, and a residual.
        pools: First guesses of the turnover times, years, of pools that give back
            what was taken up before (``models.balance``); empty = none. With rh among
            ``fluxes`` these are wood, litter and soil, through which carbon passes to
            be respired, the last two at 10 degC; with one flux alone, any number side
            by side. What a pool holds depends on every month since ``start_year``.
        start_year: With pools: the year in whose January they begin. The forcing of
            ``memory`` months before must be known, to nights too, and labels of
            earlier years teach nothing.
        pools_fill: When pools, or litter, take in what a cell took up: every "month",
            or a "year" at its end, as models do whose plants shed and allocate once a
            year.
        steady_flux: What is left of a flux in the end where nothing changes: "zero"
            (land: pools are in balance), or anything ("free": the sea, where currents
            bring and take carbon).
        gas_exchange: Whether the flux of a sea is what wind, temperature and ice let
            through, times a difference in CO2 that the network answers for
            (``models.exchange``).
    """

    fluxes: list[str] = field(default_factory=list)
    forcing: list[str] = field(default_factory=list)
    memory: int = 36
    slow_years: list[int] = field(default_factory=list)
    label_climatology: str = "climatology"
    co2_slope: str = "annual"
    co2_level: str = "cells"
    co2_as: str = "level"
    co2_beyond: str = "extrapolate"
    reference_simulations: list[str] = field(default_factory=list)
    forcing_channels: str = "both"
    position: bool = True
    scale_floor: float = 0.05
    embedding: int = 8
    closure: bool = False
    pools: list[float] = field(default_factory=list)
    start_year: int | None = None
    pools_fill: str = "month"
    steady_flux: str = "zero"
    gas_exchange: bool = False

    needs_map: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the values; ``SettingsError`` names the first bad one."""
        require(self.memory >= 0, "model.memory", self.memory, "0 months or more")
        for years in self.slow_years:
            require(years >= 1, "model.slow_years", years, "whole years, 1 or more")
        require_choice(
            "model.label_climatology", self.label_climatology, LABEL_CLIMATOLOGIES
        )
        require_choice("model.co2_slope", self.co2_slope, CO2_SLOPES)
        require_choice("model.co2_level", self.co2_level, CO2_LEVELS)
        require_choice("model.co2_as", self.co2_as, CO2_AS)
        require_choice("model.co2_beyond", self.co2_beyond, CO2_BEYOND)
        require_choice(
            "model.forcing_channels", self.forcing_channels, FORCING_CHANNELS
        )
        require(
            0 <= self.scale_floor < 1,
            "model.scale_floor",
            self.scale_floor,
            "in [0, 1)",
        )
        require(self.embedding >= 1, "model.embedding", self.embedding, "at least 1")
        if self.closure:
            known = set(self.fluxes[1:]) <= COMPONENT_SIGNS.keys()
            wanted = f"the net flux, then some of {', '.join(COMPONENT_SIGNS)}"
            require(
                len(self.fluxes) > 1 and known,
                "model.fluxes",
                self.fluxes,
                f"{wanted}, for model.closure",
            )
        self._check_pools()
        if self.gas_exchange and (
            self.is_balance
            or self.forcing_channels == "anomaly"
            or self.fluxes not in ([], ["fgco2"])
        ):
            raise SettingsError(
                f"model.gas_exchange is a law of fgco2 alone, from forcing in its own "
                f"unit, but model.fluxes is {self.fluxes}, forcing_channels "
                f"'{self.forcing_channels}', closure {self.closure} and pools "
                f"{self.pools}. Set them to [fgco2], both, false and [], or "
                f"gas_exchange to false."
            )

    def _check_pools(self) -> None:
        require_choice("model.steady_flux", self.steady_flux, STEADY_FLUXES)
        require_choice("model.pools_fill", self.pools_fill, POOLS_FILL)
        for years in self.pools:
            require(years > 0, "model.pools", years, "positive numbers of years")
        require(
            bool(self.pools) == (self.start_year is not None),
            "model.start_year",
            self.start_year,
            "the year in which model.pools begin, and null without pools",
        )
        if self.pools and len(self.fluxes) > 1:
            require(
                self.closure and "rh" in self.fluxes,
                "model.fluxes",
                self.fluxes,
                "one flux, or components with rh and model.closure, for model.pools",
            )
            require(
                len(self.pools) == 3,
                "model.pools",
                self.pools,
                "the turnover times of wood, litter and soil where rh is emulated",
            )
            # Soils answer CO2 themselves. With a line in its level beside them half of
            # the response to a faster rise was lost (docs/decisions/006).
            require(
                self.label_climatology != "co2",
                "model.label_climatology",
                self.label_climatology,
                '"climatology" or "none" where model.pools tell what CO2 does',
            )

    @property
    def has_soils(self) -> bool:
        """Whether rh leaves wood, litter and soil (``models.balance.Soils``)."""
        return bool(self.pools) and len(self.fluxes) > 1

    @property
    def is_balance(self) -> bool:
        """Whether the fluxes are a balance of carbon (``models.balance``)."""
        return self.closure or bool(self.pools)

    @property
    def is_anchored(self) -> bool:
        """Whether a month's answer depends on where its window starts.

        A recurrent state runs from the start of the window and pools fill from there,
        so inference must always use the same windows; other networks see exactly
        ``memory`` months before each month, wherever the window starts.
        """
        return bool(self.pools)

    @property
    def origin(self) -> int | None:
        """The month, counted from January 1970, in which the only window starts.

        None without pools: windows may follow each other.
        """
        return None if self.start_year is None else 12 * (self.start_year - 1970)

    def build(self, shape: NetworkShape) -> nn.Module:
        """Return the network, with weights drawn from torch's global generator."""
        raise NotImplementedError(f"{type(self).__name__} does not build a network.")


def require(holds: bool, name: str, found: object, wanted: str) -> None:
    """Raise ``SettingsError`` naming setting, value and cure unless ``holds``."""
    if not holds:
        raise SettingsError(f"{name} is {found!r}, but must be {wanted}. Change it.")


def require_choice(name: str, found: str, choices: tuple[str, ...]) -> None:
    """Raise ``SettingsError`` unless ``found`` is one of ``choices``."""
    if found not in choices:
        raise SettingsError(
            f"{name} is {found!r}, but must be one of: {', '.join(choices)}."
        )
