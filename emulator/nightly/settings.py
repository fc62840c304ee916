"""Settings of `predict`; light to import, since the command line reads them first."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from emulator.carbon.errors import SettingsError


@dataclass
class MapSettings:
    """The grid of a sink map.

    Attributes:
        grid: "land" or "ocean" for the grid of that run, or a step in degrees;
            empty for the grid of the land run, or of the ocean run if alone.
    """

    grid: str = ""


def require_map_grid(grid: str, domains: Sequence[str]) -> None:
    """Refuse a grid of a map that is none.

    Raises:
        SettingsError: If it is neither one of the domains nor a number.
    """
    if grid in ("", *domains):
        return
    try:
        float(grid)
    except ValueError:
        raise SettingsError(
            f"map.grid is {grid!r}, but this map is of {' and '.join(domains)}. Choose "
            f"{' or '.join(domains)}, or a step in degrees, e.g. map.grid=1."
        ) from None


@dataclass
class PredictSettings:
    """Which runs are asked, about which forcing, and where the map goes.

    Attributes:
        land: The land run, a path or the name of a folder below the runs, or
            "current" for the champion; None for a map of the ocean alone.
        ocean: The ocean run, alike.
        forcing: The forcing, a path of a store or a name given to ``prepare``. A name
            is looked up for each domain, as NAME and as NAME_<domain>. Empty for the
            training store of each run.
        land_forcing: Forcing of the land, where it is not ``forcing``.
        ocean_forcing: Forcing of the ocean, where it is not ``forcing``.
        map: The grid of the map.
        out: Path of the map: a folder, or a store ending in ``.zarr``.
        overwrite: Whether a map that stands there may be replaced.
    """

    land: str | None = None
    ocean: str | None = None
    forcing: str = ""
    land_forcing: str = ""
    ocean_forcing: str = ""
    map: MapSettings = field(default_factory=MapSettings)
    out: str = "maps/sink.zarr"
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Check that there is something to predict."""
        if not self.land and not self.ocean:
            raise SettingsError(
                "predict needs a run: give land=RUN, ocean=RUN or both, with the path "
                "that `sink-emulator train` printed."
            )
        there = [name for name in ("land", "ocean") if getattr(self, name)]
        require_map_grid(self.map.grid, there)

    def forcing_of(self, domain: str) -> str:
        """Return the name or path of a domain's forcing; empty if none is given."""
        own = {"land": self.land_forcing, "ocean": self.ocean_forcing}
        return own[domain] or self.forcing
