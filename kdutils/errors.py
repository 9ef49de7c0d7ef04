"""Errors that a user meets: one line that says what was wrong, what is allowed, and the nearest valid name."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in what was asked for, found before any long work starts. Its message is one line."""


def check_name(kind: str, name: object, allowed: Iterable[str]) -> str:
    """Return `name` if it is one of `allowed`.

    Parameters
    ----------
    kind : str
        What it names, as the message calls it.
    name : object
        What the user gave.
    allowed : iterable of str
        The valid names.

    Raises
    ------
    UserError
        Otherwise; the message names the allowed values and, where one is near, the nearest.
    """
    allowed = list(allowed)
    if isinstance(name, str) and name in allowed:
        return name
    near = difflib.get_close_matches(str(name), allowed, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise UserError(f"unknown {kind} {name!r}{hint}; allowed: {', '.join(allowed)}")
