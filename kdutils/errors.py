"""Errors that a user meets: one line that says what was wrong, what is allowed, and the nearest valid name."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in what was asked for, found before any long work starts. Its message is one line."""


class Diverged(FloatingPointError):
    """A run whose loss or logits are no longer finite: `args` are what is not, and in which epoch and step of it."""

    def __str__(self) -> str:
        reason, epoch, step = self.args
        return f"{reason} in epoch {epoch}, step {step}"


def check_name(kind: str, name: object, allowed: Iterable[str]) -> str:
    """Return `name` if it is one of `allowed`.

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
