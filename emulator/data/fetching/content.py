"""Whether what came is of the kind that its name says, by its first bytes.

A server that wants a login, or is being mended, often sends a page that says so, with
the status of success.
"""

from pathlib import Path

from emulator.carbon.errors import SourceError

_WEB_PAGE = b"<"
"""What pages begin with, be it a comment or a tag, and what object stores say of
errors; no format or table of data does."""

_NETCDF = ("NetCDF", (b"CDF", b"\x89HDF"))
_HDF5 = ("HDF5", (b"\x89HDF",))
_GZIP = ("gzip", (b"\x1f\x8b",))
_ZIP = ("ZIP", (b"PK",))
_GRIB = ("GRIB", (b"GRIB",))

STARTS = {
    ".nc": _NETCDF,
    ".nc4": _NETCDF,
    ".h5": _HDF5,
    ".hdf5": _HDF5,
    ".gz": _GZIP,
    ".tgz": _GZIP,
    ".zip": _ZIP,
    ".xlsx": _ZIP,
    ".grib": _GRIB,
    ".grb": _GRIB,
}
"""Kind and first bytes by the ending of a name, from the definitions of the formats:
NetCDF classic and HDF5 (Unidata, The HDF Group), gzip (RFC 1952), ZIP (PKWARE), GRIB
(WMO)."""

_LOOKED_AT = 512


def require_plausible(path: Path, name: str, shown: str) -> None:
    """Refuse a file whose beginning is not what its name promises.

    Args:
        path: Where it is.
        name: The name that it is to have.
        shown: Where it came from, for the message.

    Raises:
        SourceError: If it is a web page, empty, or not of the kind of its ending.
    """
    with path.open("rb") as file:
        start = file.read(_LOOKED_AT)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(_WEB_PAGE) and not name.endswith((".html", ".xml")):
        raise SourceError(
            f"{shown} is a web page, but data are needed: the server sent a "
            f"message, perhaps asks for a login. Open the address in a browser."
        )
    if not start:
        raise SourceError(
            f"{shown} is empty, but data are needed. Try again later; if it lasts, ask "
            f"the source."
        )
    kind, starts = STARTS.get(Path(name).suffix.lower(), ("", ()))
    if kind and not start.startswith(starts):
        raise SourceError(
            f"{shown} begins with {start[:8]!r}, which is no {kind} file, but one is "
            f"needed by its name. Look into it, and ask the source."
        )
