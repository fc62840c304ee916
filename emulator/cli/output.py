"""What a command tells: results on stdout, progress on a terminal only."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import Progress


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


@contextlib.contextmanager
def steps(what: str, total: int) -> Iterator[Callable[[str], None]]:
    """Show a bar of ``total`` steps on a terminal; silent elsewhere.

    Yields:
        A function to be called with the name of each step when it begins.
    """
    console = Console(stderr=True)
    with Progress(
        console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(what, total=total)
        begun = 0

        def begin(name: str) -> None:
            nonlocal begun
            bar.update(task, completed=begun, description=f"{what} {name}")
            begun += 1

        yield begin
