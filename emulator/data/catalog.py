"""Find and read the catalog: one YAML file a product, checked when loaded.

A file of many alike, such as all models of one round of TRENDY, has two keys beside its
name: ``every`` holds what they share, ``models`` what is special to each. Its entries
are called ``FILE.MODEL``. One more model, with the keys that those share, is a file of
its own with ``row_of: FILE``.
"""

import difflib
import os
import re
from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from emulator.carbon.errors import CatalogError
from emulator.data.entry import Entry, parse_entry

ENVIRONMENT_VARIABLE = "SINK_CATALOG"
"""Folders of a user's own entries, separated like PATH."""

ROW_OF = "row_of"
"""The key that names the file of many models whose shared keys a file begins with."""


def find_catalog_dirs(extra: Sequence[str | Path] = ()) -> list[Path]:
    """Return the folders of catalog entries, the strongest first.

    A user's own folders (``extra``, then the environment variable) come before
    the entries that come with the package, so that an entry can be replaced.

    Raises:
        CatalogError: If a folder that was asked for does not exist.
    """
    asked = [Path(folder) for folder in extra]
    named = os.environ.get(ENVIRONMENT_VARIABLE, "")
    asked += [Path(folder) for folder in named.split(os.pathsep) if folder]
    for folder in asked:
        if not folder.is_dir():
            raise CatalogError(
                f"There is no catalog folder '{folder}'. Create it, or change "
                f"--catalog-dir or {ENVIRONMENT_VARIABLE}."
            )
    package = Path(__file__).resolve().parents[1]
    shipped = (package / "data_catalog", package.parent / "data_catalog")
    return asked + [folder for folder in shipped if folder.is_dir()][:1]


def names(dirs: Sequence[str | Path] | None = None) -> list[str]:
    """Return the names of all entries, in order."""
    folders = find_catalog_dirs() if dirs is None else dirs
    found: dict[str, list[str]] = {}
    for folder in folders:
        for path in Path(folder).glob("*.yaml"):
            found.setdefault(path.stem, _names_in(path))
    return sorted({name for held in found.values() for name in held})


def members(name: str, dirs: Sequence[str | Path] | None = None) -> list[str]:
    """Return the entries that a name stands for: itself, or all models of a file.

    Args:
        name: An entry, or a file of many models. Models that have files of their own,
            called like ``FILE.MODEL.yaml``, belong to it.
        dirs: Folders to look in, as in ``load``.

    Raises:
        CatalogError: If there is no such entry and no such file.
    """
    every = names(dirs)
    found = [one for one in every if one.partition(".")[0] == name and one != name]
    if name in every or not found:
        find(name, dirs)
        return [name]
    return found


def load(name: str, dirs: Sequence[str | Path] | None = None) -> Entry:
    """Read and check the entry ``name``.

    Args:
        name: Name of the entry, that of its file without ``.yaml``.
        dirs: Folders to look in, the strongest first; by default those of
            ``find_catalog_dirs``.

    Returns:
        The checked entry.

    Raises:
        CatalogError: If there is no such entry, or it breaks the schema.
    """
    path, model = find(name, dirs)
    return read_entry(path, model, dirs)


def find(name: str, dirs: Sequence[str | Path] | None = None) -> tuple[Path, str]:
    """Return the file of the entry ``name``, and which of its models it is, if any.

    Arguments are those of ``load``.

    Raises:
        CatalogError: If there is no such file.
    """
    folders = find_catalog_dirs() if dirs is None else dirs
    stem, _, model = name.partition(".")
    for folder in folders:
        for file, which in ((f"{name}.yaml", ""), (f"{stem}.yaml", model)):
            if (Path(folder) / file).is_file():
                return Path(folder) / file, which
    close = difflib.get_close_matches(name, names(folders), n=3)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise CatalogError(
        f"There is no catalog entry '{name}' in {[str(d) for d in folders]}.{hint} "
        f"`sink-emulator catalog list` shows all."
    )


def read_entry(
    path: Path, model: str = "", dirs: Sequence[str | Path] | None = None
) -> Entry:
    """Read and check one YAML file.

    Args:
        path: The file.
        model: Which of its models, if it holds many.
        dirs: Folders where the file of many is, if this one is a row of it; as in
            ``load``.

    Raises:
        CatalogError: If it is no YAML, breaks the schema, or has no such model.
    """
    said = _read_yaml(path)
    if not model and isinstance(said, Mapping) and ROW_OF in said:
        every = _every_of(said[ROW_OF], path, dirs)
        own = {key: value for key, value in said.items() if key != ROW_OF}
        return parse_entry(path.stem, _merged(every, own), str(path))
    if not model and not (isinstance(said, Mapping) and "models" in said):
        return parse_entry(path.stem, said, str(path))
    every, models = _read_models(said, path)
    if model not in models:
        raise CatalogError(
            f"{path} holds the models {sorted(models)}, and '{model}' is none of them. "
            f"Ask for one of them as '{path.stem}.MODEL'."
        )
    name = f"{path.stem}.{model}"
    merged = {**_merged(every, models[model] or {}), "name": name}
    return parse_entry(name, merged, f"{path}, model '{model}'")


def _every_of(
    round_name: Any, path: Path, dirs: Sequence[str | Path] | None
) -> Mapping[str, Any]:
    """Return what the models of the file share of which ``path`` is a row."""
    shared, model = find(str(round_name), dirs)
    said = _read_yaml(shared)
    if model or not (isinstance(said, Mapping) and "models" in said):
        raise CatalogError(
            f"{path} is a row of '{round_name}', but {shared} describes one product. "
            f"Name a file of many models, such as trendy_v14."
        )
    return _read_models(said, shared)[0]


def _read_yaml(path: Path) -> Any:
    """Return what a file says; it is parsed once while it does not change."""
    try:
        status = path.stat()
        return _parsed(path, status.st_mtime_ns, status.st_size)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise CatalogError(f"{path} is no readable YAML: {reason}") from None


@lru_cache(maxsize=256)
def _parsed(path: Path, _modified: int, _size: int) -> Any:
    """Return a parsed file, which nobody changes: a round is asked for row by row."""
    text = path.read_text(encoding="utf-8")
    return yaml.load(text, Loader=_EachKeyOnce)  # noqa: S506 - it is a SafeLoader


class _EachKeyOnce(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML would silently take the last."""

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, Any]:
        """Return the mapping of a node whose keys differ."""
        said = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = [key for key in said if said.count(key) > 1]
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key '{twice[0]}' stands twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def _names_in(path: Path) -> list[str]:
    """Return the entries of a file; one that cannot be read stands for itself."""
    # Most files hold one product: the key is looked for before YAML is parsed.
    if not re.search(rb"^models\s*:", path.read_bytes(), re.M):
        return [path.stem]
    try:
        _, models = _read_models(_read_yaml(path), path)
    except CatalogError:
        return [path.stem]
    return [f"{path.stem}.{model}" for model in models]


def _read_models(
    said: Any, path: Path
) -> tuple[Mapping[str, Any], Mapping[str, Mapping[str, Any] | None]]:
    """Return what all models of a file share, and what is special to each."""
    keys = {"name", "every", "models"}
    is_right = (
        isinstance(said, Mapping)
        and set(said) == keys
        and said["name"] == path.stem
        and isinstance(said["every"], Mapping)
        and isinstance(said["models"], Mapping)
        and all(
            row is None or isinstance(row, Mapping) for row in said["models"].values()
        )
    )
    if not is_right:
        raise CatalogError(
            f"{path} must have the keys {sorted(keys)} and no others to hold several "
            f"models: 'name' equal to the name of the file, 'every' with the keys that "
            f"they share, 'models' with the keys of each by its name."
        )
    return said["every"], said["models"]


def _merged(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return keys of both, one's own before the shared; null removes a shared key."""
    merged = dict(shared)
    for key, value in own.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _merged(merged[key], value)
        else:
            merged[key] = value
    return merged
