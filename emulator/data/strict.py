"""Plain YAML values into nested dataclasses, refusing whatever does not fit."""

import dataclasses
import difflib
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from emulator.carbon.errors import CatalogError


def build(wanted: type, said: object) -> Any:
    """Return the dataclass ``wanted`` with the values of ``said``.

    Args:
        wanted: A dataclass of scalars, literals, tuples, dictionaries and dataclasses.
        said: What a YAML file holds; null stands for no keys.

    Returns:
        The instance, checked by its own ``__post_init__`` as well.

    Raises:
        CatalogError: If a key is unknown or missing, or a value is of another type;
            the message names the key with its path.
    """
    return _build_dataclass(wanted, said, "")


def plain(value: Any) -> Any:
    """Return a dataclass as plain JSON types, without what was left unsaid."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            item.name: plain(getattr(value, item.name))
            for item in dataclasses.fields(value)
            if getattr(value, item.name) not in (None, "", (), {})
        }
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value


def _build(wanted: Any, said: object, where: str) -> Any:
    origin, arguments = get_origin(wanted), get_args(wanted)
    if dataclasses.is_dataclass(wanted) and isinstance(wanted, type):
        return _build_dataclass(wanted, said, where)
    if origin in (Union, types.UnionType):
        if said is None and type(None) in arguments:
            return None
        rest = [kind for kind in arguments if kind is not type(None)]
        return _build(rest[0], said, where)
    if origin is Literal:
        if said not in arguments:
            _refuse(where, said, f"one of {[a for a in arguments if a != '']}")
        return said
    if origin is tuple and arguments[-1] is Ellipsis:
        items = said if isinstance(said, list) else _refuse(where, said, "a list")
        return tuple(_build(arguments[0], item, where) for item in items)
    if origin is tuple:
        if not isinstance(said, list) or len(said) != len(arguments):
            _refuse(where, said, f"a list of {len(arguments)}")
        pairs = zip(arguments, list(said), strict=True)  # type: ignore[call-overload]
        return tuple(_build(kind, item, where) for kind, item in pairs)
    if origin is dict:
        if not isinstance(said, Mapping):
            _refuse(where, said, "names with their values")
        table: Mapping[Any, object] = said  # type: ignore[assignment]
        return {
            _build(arguments[0], _key(arguments[0], key), where): _build(
                arguments[1], value, f"{where}.{key}" if where else str(key)
            )
            for key, value in table.items()
        }
    return _build_scalar(wanted, said, where)


def _build_dataclass(wanted: type, said: object, where: str) -> Any:
    if said is None:
        said = {}
    if not isinstance(said, Mapping):
        _refuse(where, said, "keys with their values")
        return None
    hints = get_type_hints(wanted)
    unknown = [str(key) for key in said if key not in hints]
    if unknown:
        close = difflib.get_close_matches(unknown[0], hints, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise CatalogError(
            f"unknown key '{_join(where, unknown[0])}'.{hint} Keys here are "
            f"{sorted(hints)}."
        )
    for item in dataclasses.fields(wanted):
        required = (
            item.default is dataclasses.MISSING
            and item.default_factory is dataclasses.MISSING
        )
        if required and item.name not in said:
            raise CatalogError(
                f"the key '{_join(where, item.name)}' is missing; see docs/catalog.md."
            )
    values = {
        key: _build(hints[key], value, _join(where, str(key)))
        for key, value in said.items()
    }
    try:
        return wanted(**values)
    except CatalogError as error:
        if where:
            raise CatalogError(f"{where}: {error}") from None
        raise


def _build_scalar(wanted: Any, said: object, where: str) -> Any:
    if wanted is float and isinstance(said, int) and not isinstance(said, bool):
        return float(said)
    if wanted is int and isinstance(said, bool):
        _refuse(where, said, "a whole number")
    if not isinstance(said, wanted):
        words = {str: "text", int: "a whole number", float: "a number"}
        _refuse(where, said, words.get(wanted, "true or false"))
    return said


def _refuse(where: str, said: object, wanted: str) -> Any:
    raise CatalogError(f"'{where}' is {said!r}, but must be {wanted}.")


def _key(wanted: Any, said: Any) -> Any:
    """Return a key, whose number JSON writes as text, as the number."""
    return int(said) if wanted is int and str(said).isdecimal() else said


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
