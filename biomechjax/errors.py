"""What ends a command without being a defect."""


class InputError(ValueError):
    """Bad input from outside: a file, a folder, a flag.

    The message names the file, line or field, what was found, what was expected, and what to do. Commands print it
    without a traceback and exit with status 2.
    """


class BadStep(Exception):
    """A loss or gradient of a training is not finite, or too large."""


class Unwritable(Exception):
    """The disk is full, or a folder cannot be written; what was whole before still is."""


class Stopped(Exception):
    """The run was asked to stop (SIGINT or SIGTERM) and has saved; the same command goes on from there."""
