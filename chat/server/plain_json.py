"""JSON that others wrote: read with bounds, and checked against the fields of a dataclass.

Whatever is wrong with it is a `ValueError`: no text, however made, gets anything else out of here,
and no value that this server's file, or protobuf, could not hold.
"""

from __future__ import annotations

import json
import math
import sys
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

# What a signed number of 64 bits holds, and how many characters that may have.
MAX_NUMBER = 2**63 - 1
MAX_DIGITS = 19

_Record = TypeVar("_Record")


def number_of(text: str, most: int = MAX_NUMBER) -> int | None:
    """Return a number from 0 on in its usual form, None where it is no such one, or more."""
    is_number = len(text) <= MAX_DIGITS and text.isascii() and text.isdigit()
    if not is_number or (text[0] == "0" and text != "0"):
        return None
    return number if (number := int(text)) <= most else None


def read_json(text: str | bytes) -> object:
    """Return the value: whole numbers of 64 bits, finite others, texts that UTF-8 can hold.

    Raises `ValueError` where it is none, or is nested too deep.
    """
    if isinstance(text, bytes):
        text = text.decode()  # which json.loads does with less care
    try:
        value = json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
        if "\\u" in text:  # which may be half a character
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    return value


def read_object(text: str | bytes) -> dict[str, Any]:
    """Return the fields of an object; raises `ValueError` where it is none."""
    value = read_json(text)
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value


def record_of(kind: type[_Record], fields: dict[str, Any]) -> _Record:
    """Return a dataclass with these fields; raises `ValueError` where they are not of its types."""
    hashable: Any = kind  # which mypy does not take it for
    types = _types_of(hashable)
    try:
        return kind(**{name: checked(value, types[name]) for name, value in fields.items()})
    except (KeyError, TypeError) as error:  # one too many, or too few
        raise ValueError(f"no {kind.__name__}") from error


@cache
def _types_of(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def checked(value: Any, wanted: Any) -> Any:
    """Return a value as a field of this type has it: JSON knows lists only, and no tuples.

    Raises `ValueError` where it is of another type.
    """
    of_each, allowed = _wanted(wanted)
    if type(value) not in allowed:  # True is an int else
        raise ValueError(f"{type(value).__name__} is not {wanted}")
    return value if of_each is None else tuple(checked(each, of_each) for each in value)


@cache
def _wanted(wanted: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return of what type each item is, None where there are no items, and what is allowed."""
    if get_origin(wanted) is tuple:
        return get_args(wanted)[0], (list,)
    allowed = get_args(wanted) or (wanted,)
    return None, (*allowed, int) if float in allowed else allowed


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS + 1 or abs(number := int(digits)) > MAX_NUMBER:
        raise ValueError("too large a number")
    return number


def _finite(digits: str) -> float:
    """Return a number, the largest that there is in place of infinity: a time without an end."""
    number = float(digits)
    if math.isnan(number):
        raise ValueError(digits)
    return max(-sys.float_info.max, min(number, sys.float_info.max))
