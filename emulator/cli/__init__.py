"""The command line: ``sink-emulator COMMAND [overrides]``.

This module reads the command line and reports errors. It imports nothing heavy, so
that ``--help`` is immediate; a command's modules are imported when it runs.
"""

import argparse
import contextlib
import errno
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from emulator.carbon.errors import SanityError, SourceError, UserError
from emulator.cli.descriptions import COMMANDS, PROGRAM, details

CATALOG_ACTIONS = ("list", "show", "check", "fetch")
NIGHTLY_ACTIONS = ("run", "status", "health", "replay")

EXIT_CODES: dict[type[UserError], int] = {SourceError: 3, SanityError: 4}
"""Of a night that keeps the old result, and of a fetch that the same command goes on
with; all other errors exit with 1."""

DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The command line without the program; by default the process's.

    Returns:
        0 on success, 1 on a user's error, 2 on bad usage, 130 when interrupted; of
        ``nightly`` also 3 (source unavailable) and 4 (the map failed its gates); of
        ``catalog fetch`` also 3.
    """
    try:
        asked = _parse(sys.argv[1:] if arguments is None else list(arguments))
    except SystemExit as stop:  # argparse leaves like this: --help, --version, misuse
        return int(stop.code or 0)
    _set_up_logging(asked.debug)
    try:
        with _catalog_of_user(asked.catalog_dir):
            _run(asked)
        sys.stdout.flush()
    except UserError as error:
        codes = [code for kind, code in EXIT_CODES.items() if isinstance(error, kind)]
        return _report(asked, str(error), *codes)
    except BrokenPipeError:  # the reader has left: `sink-emulator catalog list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno in DISK_IS_FULL:
            return _report(asked, _full(error))
        if error.filename is None:  # not about a file of the user's
            raise
        return _report(
            asked,
            f"'{error.filename}' cannot be read or written: {error.strerror}. Check "
            f"the path and its permissions, then run the same command again.",
        )
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the same command goes on where it can\n")
        return 130
    return 0


def _full(error: OSError) -> str:
    # Writing tells no name; copying tells the one copied before the one written.
    place = error.filename2 or error.filename
    what = f"'{place}' cannot be written: the disk" if place else "A disk"
    return (
        f"{what} is full. Free some space where `paths` and `out` lead, or let them "
        f"lead elsewhere, then run the same command again."
    )


def _report(asked: argparse.Namespace, message: str, code: int = 1) -> int:
    """Tell a user's error, with its origin if that was asked for; return ``code``."""
    if asked.debug:
        traceback.print_exc()
    sys.stderr.write(f"{PROGRAM} {asked.command}: {message}\n")
    return code


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Emulate the carbon fluxes of land and ocean process models.",
        epilog=f"'{PROGRAM} COMMAND --help' says what a command reads and writes.",
        allow_abbrev=False,
    )
    number = version(PROGRAM)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {number}")
    every = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        one = every.add_parser(
            name,
            help=command.summary,
            usage=f"{PROGRAM} {name} {command.usage}",
            description=command.text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        if name in arguments and {"-h", "--help"} & set(arguments):
            one.epilog = details(name)
        _add_options(one, name)
    asked, rest = parser.parse_known_args(arguments)
    flags = [text for text in rest if text.startswith("-")]
    if flags:
        every.choices[asked.command].error(f"unknown option {' '.join(flags)}")
    # argparse stops collecting overrides at the first option between them.
    asked.overrides += rest
    if asked.command == "catalog":
        _split_catalog(asked, every.choices["catalog"])
    if asked.command == "nightly":
        _split_nightly(asked, every.choices["nightly"])
    return asked


def _add_options(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument(
        "--catalog-dir",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="a folder of your own catalog entries, before those of the package",
    )
    parser.add_argument(
        "--config-dir",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="a folder with your own data/, experiment/, ... configs",
    )
    parser.add_argument(
        "--debug", action="store_true", help="show where an error comes from"
    )
    if name == "catalog":
        parser.add_argument(
            "--json", action="store_true", help="`check` prints JSON and nothing else"
        )
    if name == "train":
        parser.add_argument(
            "-m", "--multirun", action="store_true", help="sweep comma lists"
        )
    if name == "nightly":
        for end in ("from", "to"):
            what = f"{'first' if end == 'from' else 'last'} day of `nightly replay`"
            parser.add_argument(f"--{end}", default="", metavar="DATE", help=what)


def _split_catalog(asked: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Take ``list``, ``show NAME``, ``check|fetch NAME ...`` off the overrides."""
    words = [text for text in asked.overrides if "=" not in text]
    asked.overrides = [text for text in asked.overrides if "=" in text]
    if not words or words[0] not in CATALOG_ACTIONS:
        parser.error(f"say one of {', '.join(CATALOG_ACTIONS)}")
    asked.action, *asked.names = words
    count, takes_many = len(asked.names), asked.action in ("check", "fetch")
    if count < 1 if takes_many else count != (asked.action == "show"):
        parser.error(
            "'list' takes no name, 'show' takes one, 'check' and 'fetch' one or more"
        )
    if asked.json and asked.action != "check":
        parser.error("--json belongs to `catalog check`")


def _split_nightly(asked: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Take ``status``, ``health`` or ``replay`` off the overrides."""
    words = [text for text in asked.overrides if "=" not in text] or ["run"]
    asked.overrides = [text for text in asked.overrides if "=" in text]
    asked.action = words[0]
    if len(words) > 1 or asked.action not in NIGHTLY_ACTIONS:
        parser.error(f"say nothing, or one of {', '.join(NIGHTLY_ACTIONS)}")
    asked.days = (vars(asked)["from"], asked.to)
    if any(asked.days) and asked.action != "replay":
        parser.error("--from and --to belong to `nightly replay`")


def _run(asked: argparse.Namespace) -> None:
    """Import what the command needs, and run it."""
    if asked.command == "catalog" and asked.action == "fetch":
        from emulator.cli import fetching

        fetching.fetch(asked.names, asked.overrides)
    elif asked.command == "catalog":
        from emulator.cli import catalog

        catalog.run(asked.action, asked.names, asked.overrides, as_json=asked.json)
    elif asked.command == "nightly":
        from emulator.cli import nightly

        nightly.perform(asked.action, asked.overrides, asked.config_dir, asked.days)
    else:
        from emulator.cli import commands

        commands.run(asked)


def _set_up_logging(debug: bool) -> None:
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    # At DEBUG it tells whole addresses, and a query may hold a key.
    logging.getLogger("urllib3").setLevel(logging.WARNING)


@contextlib.contextmanager
def _catalog_of_user(folders: Sequence[Path]) -> Iterator[None]:
    """Put the user's catalog first while a command runs.

    By the environment, since it also reaches the processes of a sweep.
    """
    from emulator.data.catalog import ENVIRONMENT_VARIABLE as name

    before = os.environ.get(name)
    if folders:
        paths = [*(str(folder.resolve()) for folder in folders), before or ""]
        os.environ[name] = os.pathsep.join(filter(None, paths))
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before
