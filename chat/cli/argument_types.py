"""What the value of a flag may be: argument types, each of which says what is wrong.

They raise `argparse.ArgumentTypeError` with a sentence in the user's language.
"""

from __future__ import annotations

import argparse
import math
import re

from chat.cli import i18n
from chat.cli.i18n import _

# What Python takes besides (١٢, 1_000, nan, spaces) is rather a slip.
PLAIN_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)
LOOPBACK_HOST = "127.0.0.1"


def text(value: str) -> str:
    """Return an argument as it is, an argument type for what is no path: it has to be UTF-8."""
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise argparse.ArgumentTypeError(_("this is not text in UTF-8"))
    return value


class Between:
    """An argument type: a number of `kind` from `lowest` to `highest`, in ASCII digits.

    `has_zero`: 0 is allowed too, and means something else than a number close to it.
    """

    def __init__(
        self, lowest: float, highest: float, kind: type[int] | type[float], has_zero: bool
    ) -> None:
        self._lowest = lowest
        self._highest = highest
        self._kind = kind
        self._has_zero = has_zero

    def __call__(self, value: str) -> float:
        try:
            parsed = self._kind(value) if PLAIN_NUMBER.fullmatch(value) else math.nan
        except ValueError:  # 1.5 where there are no fractions, or more digits than Python takes
            parsed = math.nan
        if not (self._lowest <= parsed <= self._highest or (self._has_zero and parsed == 0)):
            sentence = _("a number from {lowest} to {highest} is expected")
            if self._has_zero:
                sentence = _("0, or a number from {lowest} to {highest}, is expected")
            text = sentence.format(lowest=self._lowest, highest=self._highest)
            raise argparse.ArgumentTypeError(text)
        return parsed


def between(
    lowest: float, highest: float, kind: type[int] | type[float] = int, *, has_zero: bool = False
) -> Between:
    """Return an argument type, see `Between`."""
    return Between(lowest, highest, kind, has_zero)


def host_port(text: str) -> tuple[str, int]:
    """Return the host and the port of `[HOST:]PORT`; without a host, loopback."""
    host, colon, number = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if colon else LOOPBACK_HOST
    if not host or not host.isascii() or not host.isprintable():
        raise argparse.ArgumentTypeError(_("PORT or HOST:PORT is expected"))
    return host, port(number)


def port(text: str) -> int:
    """Return a TCP port, 0 for a free one."""
    is_port = text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535
    if not is_port:
        raise argparse.ArgumentTypeError(_("a port is a number from 0 to 65535"))
    return int(text)


def language(text: str) -> str:
    """Return the language that is meant, as `i18n.available` has it."""
    found = i18n.find(text)
    if found is None:
        sentence = _("{value!r} is not a language that is spoken here; choose from {languages}")
        languages = ", ".join(i18n.available())
        raise argparse.ArgumentTypeError(sentence.format(value=text, languages=languages))
    return found
