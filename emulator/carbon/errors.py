"""Errors that a user can mend.

Each message says what is wrong, what was found, what was wanted and how to cure
it; the command line prints it alone and exits with 1. A ``ValueError`` is left for
mistakes of whoever calls a function, and comes with its traceback.
"""


class UserError(Exception):
    """Something in the data, the settings or the machine, which the user can mend."""


class UnitsError(UserError):
    """A unit is unknown, missing, or of another kind than the one asked for."""


class GridMismatchError(UserError):
    """A grid is damaged, or two grids that must be the same are not."""


class TimeAxisError(UserError):
    """Months are missing, doubled or out of order, or spans of years collide."""


class CatalogError(UserError):
    """A catalog entry is incomplete, unknown or says something impossible."""


class GateError(UserError):
    """Data failed a plausibility gate, or a run the gate of promotion."""


class StoreError(UserError):
    """A store cannot be written, read, or is not what its schema says."""


class SettingsError(UserError):
    """A setting has a wrong name, type or value."""


class CheckpointError(UserError):
    """A checkpoint does not fit: other format, variables, grid or teacher."""


class SweepError(UserError):
    """Some runs of a sweep did not end; the others did."""


class SourceError(UserError):
    """A source of forcing is unavailable, or what it sent cannot be used.

    Nothing of what was refused is kept; the command line exits with 3, since the next
    night may find the source mended.
    """


class SanityError(UserError):
    """A new map cannot be right.

    It is not published and the old one stays; the command line exits with 4.
    """


class LockError(UserError):
    """Another process is at work in the same place."""
