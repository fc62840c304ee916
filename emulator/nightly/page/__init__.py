"""The page of a night: static files that a browser shows without any server."""

from emulator.nightly.page.site import write

__all__ = ["write"]
