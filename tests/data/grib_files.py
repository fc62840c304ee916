"""GRIB as the Climate Data Store sends it, written with ecCodes from known values.

No real GRIB file of ERA5 was at hand: keys follow its documentation.
"""

from collections.abc import Mapping
from pathlib import Path

import eccodes
import numpy as np
from numpy.typing import NDArray

from tests.data.centre_files import LAT, LON, Array, Times

PARAMETERS = {
    "t2m": 167,
    "d2m": 168,
    "sp": 134,
    "tp": 228,
    "ssrd": 169,
    "si10": 207,
    "u10": 165,
    "v10": 166,
}
"""ECMWF's numbers of quantities."""


def grib(
    path: Path,
    times: Times,
    fields: Mapping[str, Array],
    *,
    preliminary: NDArray[np.bool_] | bool = False,
    steps: Mapping[str, tuple[int, int]] | None = None,
    edition: int = 1,
    lat: Array = LAT,
    lon: Array = LON,
    append: bool = False,
    **keys: object,
) -> Path:
    """Write one message for each quantity and time.

    Args:
        path: The file.
        times: When fields are valid, hours.
        fields: By short name; shape (time, lat, lon).
        preliminary: Whether each time is of ERA5T.
        steps: Of amounts, by short name: the first and last hour of the forecast.
        edition: Of GRIB.
        lat: Rows from north to south, evenly spaced.
        lon: Columns, evenly spaced.
        append: Go on with the file.
        keys: Set last, instead of what is written otherwise.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    late = np.broadcast_to(preliminary, times.shape)
    with path.open("ab" if append else "wb") as file:
        for place, when in enumerate(times):
            for name, values in fields.items():
                message = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib1")
                first, last = (steps or {}).get(name, (0, 0))
                if edition == 2:
                    eccodes.codes_set(message, "edition", 2)
                    # Template 8 is for what is over an interval.
                    template = 8 if last else 0
                    eccodes.codes_set(
                        message, "productDefinitionTemplateNumber", template
                    )
                begun = str(when - last)
                said = {
                    "class": "ea",
                    "stream": "oper",
                    "expver": "0005" if late[place] else "0001",
                    "Ni": lon.size,
                    "Nj": lat.size,
                    "latitudeOfFirstGridPointInDegrees": lat[0],
                    "latitudeOfLastGridPointInDegrees": lat[-1],
                    "longitudeOfFirstGridPointInDegrees": lon[0],
                    "longitudeOfLastGridPointInDegrees": lon[-1],
                    "iDirectionIncrementInDegrees": lon[1] - lon[0],
                    "jDirectionIncrementInDegrees": lat[0] - lat[1],
                    "paramId": PARAMETERS[name],
                    "dataDate": int(begun[:10].replace("-", "")),
                    "dataTime": int(begun[11:13]) * 100,
                }
                if last:
                    said |= {"stepType": "accum", "stepRange": f"{first}-{last}"}
                for key, value in (said | keys).items():
                    eccodes.codes_set(message, key, value)
                field = values[place].ravel()
                if np.isnan(field).any():
                    eccodes.codes_set(message, "bitmapPresent", 1)
                    eccodes.codes_set(message, "missingValue", 9999.0)
                    field = np.where(np.isnan(field), 9999.0, field)
                eccodes.codes_set(message, "bitsPerValue", 24)
                eccodes.codes_set_values(message, field)
                eccodes.codes_write(message, file)
                eccodes.codes_release(message)
    return path
