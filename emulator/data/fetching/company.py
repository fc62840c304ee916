"""What transfers that run at the same time share."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlsplit

from emulator.data.fetching.addresses import is_remote
from emulator.data.fetching.refusals import DownError, StoppedError
from emulator.data.fetching.space import Room

IN_VAIN = 5
"""Files, one after the other, that a host may fail for before it is left alone. Each is
tried several times: without an end to it a server that is down would be asked for all
of ten thousand files, for days."""


class Company:
    """A count, pauses, hosts that are down, space, and an end.

    A pause that a server asks one transfer for is kept by all that ask this server.

    Attributes:
        room: Space that is held for what is to come.
    """

    def __init__(self, arrived: Callable[[int], object] = lambda _: None) -> None:
        """Begin with nothing.

        Args:
            arrived: Called with the bytes of each piece; negative where a piece is
                thrown away.
        """
        self.room = Room()
        self._arrived = arrived
        self._stopped = threading.Event()
        self._guard = threading.Lock()
        self._paused: dict[str, float] = {}
        self._failed: Counter[str] = Counter()

    def stop(self) -> None:
        """Let all transfers end at their next piece."""
        self._stopped.set()

    def count(self, size: int) -> None:
        """Count bytes.

        Raises:
            StoppedError: If transfers were told to stop and more came.
        """
        self._arrived(size)
        if size > 0:
            self._go_on()

    def pause(self, url: str, seconds: float) -> None:
        """Let nobody ask the host of an address for some time."""
        until = time.monotonic() + seconds
        with self._guard:
            self._paused[_host(url)] = max(until, self._pause_of(url))

    def wait(self, url: str, seconds: float) -> None:
        """Wait, and then as long as the host of an address asked for.

        Raises:
            StoppedError: If transfers were told to stop.
        """
        self._stopped.wait(seconds)
        while (left := self._pause_of(url) - time.monotonic()) > 0:
            if self._stopped.wait(left):
                break
        self._go_on()

    def gave_up(self, url: str) -> None:
        """Count that a file could not be had after all tries."""
        if is_remote(url):
            with self._guard:
                self._failed[_host(url)] += 1

    def came(self, url: str) -> None:
        """Count that a file came: its host is at work."""
        with self._guard:
            self._failed[_host(url)] = 0

    def require_up(self, url: str) -> None:
        """Refuse to ask a host that failed for many files one after the other.

        Raises:
            DownError: If it did.
        """
        host = _host(url)
        if self._failed[host] >= IN_VAIN:
            raise DownError(
                f"{host} is not asked for more: {IN_VAIN} files, one after the other, "
                f"could not be had from it after all tries. Wait, and give the same "
                f"command again."
            )

    def _pause_of(self, url: str) -> float:
        return self._paused.get(_host(url), 0.0)

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise StoppedError(
                "The transfer was stopped. The same command goes on from there."
            )


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]
