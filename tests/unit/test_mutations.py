"""What the mutation run changes in a source, and what it leaves alone."""

from __future__ import annotations

import pytest
from mutations import mutants_of

IN_FUNCTION = "def f(a, b):\n    "


def changes_of(source: str, **options: bool) -> list[str]:
    """Return the source as each mutant has it."""
    raw = source.encode()
    return [m.apply(raw).decode() for m in mutants_of("x.py", raw, **options)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = a < b", {"x = (a <= b)"}),
        ("x = a is None", {"x = (a is not None)"}),
        ("x = a and b", {"x = (a or b)", "x = (a)", "x = (b)"}),
        ("x = not a", {"x = (a)"}),
        ("x = a + b", {"x = (a - b)"}),
        ("x = 7", {"x = 8", "x = 6"}),
        ("x = 0", {"x = 1"}),
        ("x = True", {"x = False"}),
        ("x = min(a, b)", {"x = max(a, b)", "x = (a)", "x = (b)"}),
        ("return a", {"return None"}),
        ("a.x = b", {"pass"}),
        ("a[b] += a", {"pass"}),
        ("a(b)", {"pass"}),
        ("raise a", {"pass"}),
        ("if a: b()", {"if (not a): b()", "if a: pass"}),
        ("while True: a()", {"while False: a()", "while True: pass"}),
        ("try: a\n    finally: b()", {"try: a\n    finally: pass"}),
        (
            "try: a\n    except OSError: x = a",
            {"try: a\n    except OSError: raise", "try: a\n    except OSError: pass"},
        ),
        ("x = [a for a in b if a]", {"x = [a for a in b if (not a)]"}),
    ],
)
def test_each_change_is_made_alone(before: str, after: set[str]) -> None:
    """Nothing else of the source is touched."""
    changed = changes_of(IN_FUNCTION + before)
    assert {one.removeprefix(IN_FUNCTION) for one in changed} == after
    assert len(changed) == len(after)


def test_what_a_context_does_is_left_out() -> None:
    """Unless something is bound by it."""
    (changed,) = changes_of("def f(lock):\n    with lock, open(lock) as g:\n        g")
    assert "nullcontext()" in changed and "open(lock) as g" in changed


@pytest.mark.parametrize(
    "source",
    [
        '"""A text."""',
        'x = "text"',
        'x = f"text {1 + 1}"',
        '_log.error("%s", 1)',
        "def f(a: 'int | None') -> 'int | None': a",
        "@decorator(frozen=True)\nclass A: x",
        "SECONDS = 7",
        "try: import a\nexcept ImportError: x = 1",
        "if TYPE_CHECKING: x = 1",
    ],
)
def test_what_makes_no_fault_is_left_alone(source: str) -> None:
    """A survivor is to be worth looking at."""
    assert changes_of(source) == []


def test_numbers_of_a_contract_change() -> None:
    """Where constants are no tuning."""
    assert changes_of("BYTES = 1 << 6", are_constants_fixed=True) == [
        "BYTES = 2 << 6",
        "BYTES = 0 << 6",
        "BYTES = 1 << 7",
        "BYTES = 1 << 5",
    ]


def test_places_are_counted_in_bytes() -> None:
    """What stands before a change may be any text."""
    source = 'x = "ção", 1 < y'
    assert changes_of(source)[0] == 'x = "ção", (1 <= y)'
