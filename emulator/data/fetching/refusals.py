"""Why a file was not brought, where asking again at once would not help."""

from emulator.carbon.errors import SourceError


class RefusedError(SourceError):
    """A source answers, and asking again will not change the answer."""


class NotThereError(RefusedError):
    """A source answers, but does not have the file."""


class ForbiddenError(RefusedError):
    """A source answers, but does not give the file."""


class StoppedError(RefusedError):
    """A transfer was told to stop."""


class DownError(RefusedError):
    """A host failed for several files one after the other, and is left alone."""
