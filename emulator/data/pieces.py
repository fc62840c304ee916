"""Finished pieces of stores: noted as they are made, taken again where they fit.

A piece is what one simulation of one teacher, or one variable of forcing, says of the
years in one file of the store (a shard): one file for each flux. Its identity is a hash
of all that it was made from, so a piece of an earlier store, or of a run that was
killed, is as good as a new one. Files of pieces are never written again, which is why
stores may share them.
"""

import base64
import errno
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.errors import CatalogError
from emulator.data import strict
from emulator.data.check import Measures
from emulator.data.gates import Extent
from emulator.data.readers.files import checksum
from emulator.data.stores import PIECES_FILE, PIECES_FOLDER
from emulator.data.writing import write_text

IDENTITY_DIGITS = 32
"""Of a SHA-256: no two pieces share them by chance."""

UNSAID = (
    *("root", "files", "fetch", "label", "evidence", "description", "note"),
    *("licence", "citation", "doi", "policy", "latency_days", "known_since"),
    *("own_state_of", "drift", "gates", "residual", "nbp_contains"),
)
"""What an entry says that makes no difference to pieces; files count by content."""

_CODE = ("carbon", "data")
"""The packages whose code makes pieces."""


@dataclass(frozen=True)
class PieceFile:
    """One variable of a piece.

    Attributes:
        path: The file below the folder of the store; there is none if it holds
            nothing.
        sha256: Of the file; empty without one.
        attrs: What the reader found.
        cells: As ``packed_mask`` writes them: of labels the cells with one in some
            month, of forcing those without a value in some month.
    """

    path: str
    sha256: str
    attrs: dict[str, str]
    cells: str


@dataclass(frozen=True)
class Piece:
    """What is known of any finished piece.

    Attributes:
        identity: Hash of all that it was made from.
        grid: The grid of the source, in words.
        files: By variable.
    """

    identity: str
    grid: str
    files: dict[str, PieceFile]

    def note(self, stage: Path) -> None:
        """Note in a store that is being written that the piece is finished."""
        folder = stage / PIECES_FOLDER
        folder.mkdir(exist_ok=True)
        write_text(folder / f"{self.identity}.json", json.dumps(asdict(self)))


@dataclass(frozen=True)
class LabelPiece(Piece):
    """Some years of one simulation of a teacher.

    Attributes:
        years: First and last year.
        measures: What the gates need to know.
        gross: Months, and their mean |first flux| in the store and in the files,
            kg s-1.
    """

    years: tuple[int, int]
    measures: Measures
    gross: tuple[float, float, float]


@dataclass(frozen=True)
class ForcingPiece(Piece):
    """Some months of one variable of forcing.

    Attributes:
        number: Of the file of the store.
        extent: How far the values reach.
        sources: Names of what it was read from.
        sums: SHA-256 of what it was read from, by where that lies.
    """

    number: int
    extent: Extent
    sources: tuple[str, ...]
    sums: dict[str, str]


Kind = TypeVar("Kind", bound=Piece)


class Earlier:
    """The finished pieces that lie below a folder of stores."""

    def __init__(self, stores: Path, path: Path) -> None:
        """Look for pieces in finished stores and in those that were begun.

        Args:
            stores: The folder of stores.
            path: The store that is to be made; what was begun of it counts as its own.
        """
        self._path = path
        self._known: dict[str, tuple[Path, dict[str, Any]]] = {}
        for store in sorted(stores.glob("*.zarr")):
            for said in _read(store / PIECES_FILE):
                self._known[said["identity"]] = store, said
        for stage in sorted(stores.glob(".*.partial-*")):
            for note in [*stage.glob(f"{PIECES_FOLDER}/*.json"), stage / PIECES_FILE]:
                for said in _read(note):
                    self._known[said["identity"]] = stage, said

    def take(
        self, kind: type[Kind], identity: str, stage: Path, paths: Mapping[str, str]
    ) -> tuple[Kind, str] | None:
        """Take a piece over into a store that is being written.

        Args:
            kind: Of the piece.
            identity: Of the piece.
            stage: The store.
            paths: The files of the piece there, by variable.

        Returns:
            The piece and the name of the store that it was taken from, empty if the
            piece was made by an earlier run for this very store; None if there is no
            such piece, or its files are not what they were.
        """
        if identity not in self._known:
            return None
        store, said = self._known[identity]
        try:
            piece: Kind = strict.build(kind, said)
            files = {}
            for name, file in piece.files.items():
                source = store / file.path
                if file.sha256 and not _share(source, stage, paths[name], file):
                    return None
                files[name] = replace(file, path=paths[name])
        except (CatalogError, KeyError):
            return None  # noted by a version that noted other things
        piece = replace(piece, files=files)
        piece.note(stage)
        name = store.name.removeprefix(".").partition(".partial-")[0]
        return piece, "" if name == self._path.name else name


def identity(said: Mapping[str, Any]) -> str:
    """Return the identity of a piece made from what ``said`` tells, by this code."""
    text = json.dumps({**said, "code": _code()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:IDENTITY_DIGITS]


def packed_mask(mask: NDArray[np.bool_]) -> str:
    """Return a map of truths as text, a bit a cell before compression."""
    bits = zlib.compress(np.packbits(mask).tobytes(), 9)
    return f"{mask.shape[0]}x{mask.shape[1]} {base64.b64encode(bits).decode()}"


def unpacked_mask(text: str) -> NDArray[np.bool_]:
    """Return the map that ``packed_mask`` wrote."""
    size, _, bits = text.partition(" ")
    rows, columns = map(int, size.split("x"))
    held = np.frombuffer(zlib.decompress(base64.b64decode(bits)), np.uint8)
    return np.unpackbits(held, count=rows * columns).reshape(rows, columns).astype(bool)


def file_checksum(path: Path) -> str:
    """Return the checksum of a file of a store; none is written where all is NaN."""
    return checksum(path) if path.exists() else ""


@cache
def _code() -> str:
    """Return a hash of the code that reads, checks and regrids.

    A number to be raised by hand would be forgotten once, and wrong pieces stay.
    """
    found = hashlib.sha256()
    package = Path(__file__).resolve().parents[1]
    for name in _CODE:
        for file in sorted((package / name).rglob("*.py")):
            if "testbed" not in file.parts:
                found.update(file.read_bytes())
    return found.hexdigest()


def _read(path: Path) -> list[dict[str, Any]]:
    """Return the notes of a file; none if it is not there or cannot be understood."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    notes = said if isinstance(said, list) else [said]
    return [note for note in notes if isinstance(note, dict) and "identity" in note]


def _share(source: Path, stage: Path, path: str, file: PieceFile) -> bool:
    """Link a file into a store, if it is still what it was; copy it where it must be.

    A power cut may have left a note, but not what it tells of.
    """
    target = stage / path
    try:
        with source.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != file.sha256:
                return False
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            shutil.copyfile(source, target)
    except FileNotFoundError:
        return False  # its writer has removed it meanwhile
    return True
