"""Errors that a user meets, one line each: the checks of what is asked for, and how a command ends on a mistake."""

import argparse
import difflib
import math
import os
import sys
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NoReturn


class UserError(ValueError):
    """A mistake in what was asked for, found before any long work starts. Its message is one line, whatever it quotes."""

    def __str__(self) -> str:
        line = "".join(c if c.isprintable() else " " for c in super().__str__())
        return line if len(line) <= 1_200 else f"{line[:600]} … {line[-500:]}"


class Diverged(FloatingPointError):
    """A run whose loss or logits are no longer finite: `args` are what is not, and in which epoch and step of it."""

    def __str__(self) -> str:
        reason, epoch, step = self.args
        return f"{reason} in epoch {epoch}, step {step}"


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


def check_number(name: str, value: object, low: float, high: float = math.inf, ends: str = "[]") -> None:
    """Raise UserError unless `value` is a number from `low` to `high`; a round bracket in `ends` leaves that end out."""
    if isinstance(value, Real) and not isinstance(value, bool):
        above = not value <= low or (value == low and ends[0] == "[")  # not `value > low`: mypy knows no > of a Real
        below = value < high or (value == high and ends[1] == "]")
        if above and below:
            return
    raise UserError(f"{name} must be a number in {ends[0]}{low:g}, {high:g}{ends[1]}; got {value!r}")


def check_whole(name: str, value: object, low: int, high: float = math.inf) -> None:
    """Raise UserError unless `value` is a whole number, of at least `low`, and at most `high` where there is one."""
    if isinstance(value, Integral) and not isinstance(value, bool) and low <= int(value) <= high:
        return
    allowed = f"of at least {low}" if high == math.inf else f"from {low} to {high}"
    raise UserError(f"{name} must be a whole number {allowed}; got {value!r}")


def check_folder(name: str, value: str | os.PathLike) -> Path:
    """Return `value` as a path, `~` expanded, if a folder is or could be there; else raise UserError."""
    try:
        path = Path(value).expanduser()
        path.stat()
        if path.is_dir():
            return path
        why = "it is a file"
    except (FileNotFoundError, NotADirectoryError):
        return path
    except (OSError, RuntimeError, TypeError, ValueError) as error:  # too long, no such user, no string, a null byte
        why = getattr(error, "strerror", None) or str(error)
    value = str(value) if isinstance(value, Path) else value
    raise UserError(f"{name} must be a folder; {value!r} cannot be one: {why}")


class Parser(argparse.ArgumentParser):
    """argparse, with its mistakes reported in one line, and the nearest valid name, like all others."""

    def __init__(self, *given: Any, **options: Any):
        super().__init__(*given, **{"allow_abbrev": False} | options)  # a part of an option is a misspelt one

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print with the usage."""
        raise UserError(f"{message}; see: {self.prog} --help")

    def _check_value(self, action: argparse.Action, value: object) -> None:
        if action.choices is not None:
            check_name(action.dest, value, action.choices)

    def parse_known_args(self, args=None, namespace=None):
        """As argparse, with a mistyped option's nearest name."""
        found, rest = super().parse_known_args(args, namespace)
        if rest and rest[0].startswith("-"):
            check_name("option", rest[0].split("=")[0], self._option_string_actions)
        return found, rest


def run_command(main: Callable[[], None]) -> None:
    """Call `main`, and end the process with one line on standard error, and no traceback, where a user can mend it."""
    try:
        return main()
    except UserError as error:
        line, code = f"error: {error}", 2
    except (FloatingPointError, OSError) as error:
        line, code = f"failed: {error}", 1
    except KeyboardInterrupt:
        line, code = "stopped; what was recorded is kept, and the same command continues", 130
    print(line, file=sys.stderr)
    sys.exit(code)
