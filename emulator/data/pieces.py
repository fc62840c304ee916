"""Finished pieces of stores: noted as they are made, taken again where they fit.

A piece is what one simulation of one teacher says of the years in one file of the
store (a shard): one file for each flux. Its identity is a hash of all that it was made
from, so a piece of an earlier store, or of a run that was killed, is as good as a new
one. Files of pieces are never written again, which is why stores may share them.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from emulator.carbon.errors import CatalogError
from emulator.data import strict
from emulator.data.check import Measures
from emulator.data.stores import PIECES_FILE, PIECES_FOLDER
from emulator.data.writing import write_text

IDENTITY_DIGITS = 32
"""Of a SHA-256: no two pieces share them by chance."""

_CODE = ("carbon", "data")
"""The packages whose code makes pieces."""


@dataclass(frozen=True)
class PieceFile:
    """One flux of a piece.

    Attributes:
        path: The file below the folder of the store; there is none if all is NaN.
        sha256: Of the file; empty without one.
        attrs: What the reader found.
        labelled: Cells with a label in some month, as ``packed`` writes them.
    """

    path: str
    sha256: str
    attrs: dict[str, str]
    labelled: str


@dataclass(frozen=True)
class Piece:
    """What is known of a finished piece.

    Attributes:
        identity: Hash of all that it was made from.
        years: First and last year.
        grid: The grid of the source, in words.
        measures: What the gates need to know.
        gross: Months, and their mean |first flux| in the store and in the files,
            kg s-1.
        files: By flux.
    """

    identity: str
    years: tuple[int, int]
    grid: str
    measures: Measures
    gross: tuple[float, float, float]
    files: dict[str, PieceFile]

    def note(self, stage: Path) -> None:
        """Note in a store that is being written that the piece is finished."""
        folder = stage / PIECES_FOLDER
        folder.mkdir(exist_ok=True)
        write_text(folder / f"{self.identity}.json", json.dumps(asdict(self)))


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
        self, identity: str, stage: Path, paths: Mapping[str, str]
    ) -> tuple[Piece, str] | None:
        """Take a piece over into a store that is being written.

        Args:
            identity: Of the piece.
            stage: The store.
            paths: The files of the piece there, by flux.

        Returns:
            The piece and the name of the store that it was taken from, empty if the
            piece was made by an earlier run for this very store; None if there is no
            such piece, or its files are not what they were.
        """
        if identity not in self._known:
            return None
        store, said = self._known[identity]
        try:
            piece: Piece = strict.build(Piece, said)
            files = {}
            for flux, file in piece.files.items():
                source = store / file.path
                if file.sha256 and not _share(source, stage, paths[flux], file):
                    return None
                files[flux] = PieceFile(
                    paths[flux], file.sha256, file.attrs, file.labelled
                )
        except (CatalogError, KeyError):
            return None  # noted by a version that noted other things
        piece = Piece(
            identity, piece.years, piece.grid, piece.measures, piece.gross, files
        )
        piece.note(stage)
        name = store.name.removeprefix(".").partition(".partial-")[0]
        return piece, "" if name == self._path.name else name


def identity(said: Mapping[str, Any]) -> str:
    """Return the identity of a piece made from what ``said`` tells, by this code."""
    text = json.dumps({**said, "code": _code()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:IDENTITY_DIGITS]


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
