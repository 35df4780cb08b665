"""Attacks of one stranger, small: others talk on, and nothing is left behind.

`make attacks` runs them at full size and measures what others notice (`bench/attack_table.py`).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pytest
from attacks import ATTACKS, Attack, Target
from siege import MAX_GROWTH, MAX_MEMORY_BYTES, Siege, Use, fill_log

# Of what `make attacks` does.
SCALE = 0.05
SECONDS = 0.2
# The first ones take what the server, and its allocator, will need again.
MAX_ROUNDS = 6


@pytest.fixture(scope="module")
def sieges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Attack], Siege]]:
    """A server for all attacks that need the same one, with somebody in it who measures."""
    folder = tmp_path_factory.mktemp("siege")
    log = folder / "full.db"
    fill_log(log)
    made: dict[tuple[object, ...], Siege] = {}
    with ExitStack() as opened:

        def siege_for(attack: Attack) -> Siege:
            key = (*attack.settings.items(), attack.reads_log)
            if key not in made:
                path = folder / f"{len(made)}.db"
                if attack.reads_log:
                    shutil.copy(log, path)
                made[key] = opened.enter_context(Siege(path, attack.settings))
            return made[key]

        yield siege_for


@pytest.fixture(autouse=True)
def no_threads_left() -> None:
    """The servers last as long as the module."""


def attack_from_here(attack: Attack, port: int) -> None:
    """Attack from this very process."""
    target = Target(port, SCALE, SECONDS)
    steps = attack.run(target)
    next(steps)
    target.until = time.monotonic() + SECONDS
    next(steps)


# From here all are one address, of which no share is kept (`tests/unit/test_admission.py`).
FROM_HERE = [name for name, attack in ATTACKS.items() if not attack.needs_address]


@pytest.mark.parametrize("name", FROM_HERE)
def test_others_talk_on(name: str, sieges: Callable[[Attack], Siege]) -> None:
    """Somebody comes in, echoes come; once more takes no more memory than it did."""
    attack = ATTACKS[name]
    siege = sieges(attack)
    uses = [siege.use()]
    while len(uses) < 3 or grows(uses):
        assert len(uses) <= MAX_ROUNDS, uses
        attack_from_here(attack, siege.server.port)
        siege.wait_for_files(uses[0])
        uses.append(siege.use())
    siege.join_seconds()
    siege.check_others()
    siege.check_errors()
    assert uses[-1].peak_bytes <= MAX_MEMORY_BYTES


def grows(uses: Sequence[Use]) -> bool:
    """Say whether the last round took more than the one before had left, by more than 10 %."""
    return uses[-1].memory_bytes > MAX_GROWTH * uses[-2].memory_bytes
