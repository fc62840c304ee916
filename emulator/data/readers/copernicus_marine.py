"""Monthly products of the Copernicus Marine Service, by the names of their datasets.

GLORYS12 and what follows it (``cmems_mod_glo_phy_{my,myint,anfc}_0.083deg_P1M-m``):
temperature and salinity of the top level and mixed-layer depth; salinity of the
multi-observation analysis (``cmems_obs-mob_glo_phy-sss_{my,nrt}_multi_P1M``);
chlorophyll of level 4 (``cmems_obs-oc_glo_bgc-plankton_{my,nrt}_l4-multi-4km_P1M``).

Which edition a file is of stands in no attribute but in the name of its dataset, which
its download left in its name or in that of a folder around it. The multi-year edition
(``my``) is final; its interim extension (``myint``), near-real time (``nrt``) and
analysis and forecast (``anfc``, whose variables are datasets of their own) are
preliminary, in this order. A month comes from one edition: the models differ.

Source:
    Product user manuals CMEMS-GLO-PUM-001-030, CMEMS-GLO-PUM-001-024,
    CMEMS-MOB-PUM-015-013 and CMEMS-OC-PUM; Lellouche et al. (2021), Frontiers in
    Earth Science 9; Droghei et al. (2018), Frontiers in Marine Science 5 is of the
    salinity, Garnesson et al. (2019), Ocean Science 15 of chlorophyll.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emulator.data.readers.chlorophyll import LEAST_SEEN
from emulator.data.readers.products import Offering
from emulator.data.readers.surface_months import STEP, Edition, indexed, offer

_ANY = re.compile(r"cmems_(?:mod|obs-\w+)_")
"""How names of datasets begin."""


@dataclass(frozen=True)
class Dataset:
    """A product, which may be spread over datasets of several editions.

    Attributes:
        title: The product, for people.
        named: Matches names of its datasets; its group is the edition.
        editions: The editions, the best first, and whether each is final.
        sources: The name in the files of each canonical variable.
        least: Share of a cell that must have values, as ``surface_months.offer``
            takes it: of a model or an analysis, which ends at the coast, any.
    """

    title: str
    named: re.Pattern[str]
    editions: Mapping[str, bool]
    sources: Mapping[str, str]
    least: float = 0.0

    @property
    def variables(self) -> tuple[str, ...]:
        """What can be had, by canonical name."""
        return tuple(self.sources)


PHYSICS = Dataset(
    title="GLORYS12",
    named=re.compile(r"cmems_mod_glo_phy(?:-\w+)?_(my|myint|anfc)_0\.083deg_P1M-m"),
    editions={"my": True, "myint": False, "anfc": False},
    sources={"tos": "thetao", "sos": "so", "mlotst": "mlotst"},
)

SALINITY = Dataset(
    title="MULTIOBS",
    named=re.compile(r"cmems_obs-mob_glo_phy-sss_(my|nrt)_multi_P1M"),
    editions={"my": True, "nrt": False},
    sources={"sos": "sos"},
)

CHLOROPHYLL = Dataset(
    title="GlobColour",
    named=re.compile(r"cmems_obs-oc_glo_bgc-plankton_(my|nrt)_l4-multi-4km_P1M"),
    editions={"my": True, "nrt": False},
    sources={"chlos": "CHL"},
    least=LEAST_SEEN,
)


def find(
    dataset: Dataset,
    folder: Path,
    names: Sequence[str],
    *,
    step: float = STEP,
) -> Offering:
    """Return the months that a folder has of a product.

    Args:
        dataset: The product; files of others in the folder are left alone.
        folder: Holds files of months, in folders or not.
        names: Variables that are wanted, of the product's.
        step: Degrees of the smallest cells that are told.
    """
    offering = Offering(dataset.title)
    paths: dict[str, list[Path]] = {edition: [] for edition in dataset.editions}
    for path in sorted(folder.glob("**/*.nc")):
        said = dataset.named.findall(str(path))
        if said:
            paths[said[-1]].append(path)
        elif not _ANY.search(str(path)):
            offering.refused.append(
                f"{path} names no dataset in its name or its folders, so that its "
                f"edition is not known. Name a folder around it as the dataset, e.g. "
                f"{_example(dataset)}."
            )
    editions = [
        Edition(indexed(paths[edition], offering), is_final)
        for edition, is_final in dataset.editions.items()
    ]
    least = dataset.least
    offer(offering, editions, dataset.sources, names, step=step, least=least)
    if not offering.months:
        needed = ", ".join(dataset.sources[name] for name in names)
        offering.refused.append(
            f"{folder} has no month with all of {needed} in files of one edition of "
            f"{_example(dataset)}. Get some, or correct the folder; docs/data.md says "
            f"where they are."
        )
    return offering


def _example(dataset: Dataset) -> str:
    """Return names of the product's datasets, for people."""
    pattern = dataset.named.pattern.replace(r"(?:-\w+)?", "").replace("\\", "")
    return pattern.replace("(", "{").replace(")", "}").replace("|", ",")
