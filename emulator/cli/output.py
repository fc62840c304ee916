"""What a command tells: results on stdout, progress on a terminal only."""

import contextlib
import sys
from collections.abc import Iterator

from rich.console import Console


def say(text: str) -> None:
    """Write one line to stdout, unwrapped, so that paths can be copied."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """Show that something is going on, on a terminal; silent elsewhere (cron)."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield
