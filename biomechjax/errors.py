"""The one error a person at the keyboard can mend."""


class InputError(ValueError):
    """Bad input from outside: a file, a folder, a flag.

    The message names the file, line or field, what was found, what was expected, and what to do. Commands print it
    without a traceback and exit with status 2.
    """
