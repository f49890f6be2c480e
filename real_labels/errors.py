"""The error of bad input."""


class InputError(ValueError):
    """What the user gave cannot be used; the message says what, where, expected, found and the fix.

    The command line prints it as one line. Any other ValueError is a mistake of this package.
    """
