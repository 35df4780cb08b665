"""Whatever a stranger sends to a server: it goes on, prints no traceback, and keeps nothing.

`make fuzz` tries many times as many cases (`strategies.cases`). An honest client measures its
echoes meanwhile.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hostile_client import HostileClient, full
from hypothesis import given
from hypothesis import strategies as st
from siege import MAX_GROWTH, Siege, Use
from strategies import TIMES, Step, bodies, calls, cases, frames
from support import DEADLINE_SECONDS

import chat_pb2
from chat.server.memory import GROWTH_BYTES

Message = chat_pb2.Message
# What a server has after some cases is what it needs; later ones must add nothing to it.
WARM_UP_CASES = 40 * TIMES
LAST_KEY = "the last of them"
FEW_CLIENTS = {"CHAT_MAX_CLIENTS": "200"}


class Trial:
    """A server that is tried, case by case, and made anew when it has failed."""

    def __init__(self, folder: Path) -> None:
        self._paths = (folder / f"{number}.db" for number in itertools.count())
        self._start()

    def _start(self) -> None:
        self._siege = Siege(next(self._paths), FEW_CLIENTS)
        self._cases = 0
        self._early = Use()

    def connect(self, opening: bytes | None = None) -> HostileClient:
        """Return a connection of a stranger; fails where nobody listens."""
        try:
            return HostileClient(self._siege.server.port, opening=opening)
        except OSError as error:
            self._fail(f"an earlier case ended it: {error}")

    def check(self) -> None:
        """Fail unless the server answers and has printed no traceback."""
        self._cases += 1
        with self.connect() as stranger:
            if not stranger.wait_for_pong(DEADLINE_SECONDS):
                self._fail("it answers no more")
        if "Traceback" in self._siege.server.stderr:
            self._fail("it printed a traceback")
        if self._cases % 10 == 0:
            self._siege.probe.wait_for_round_trips(1)
        if self._cases == WARM_UP_CASES:
            self._early = self._siege.use()

    def _fail(self, what: str) -> NoReturn:
        """Fail with what the server said, and begin anew with another one."""
        report = self._siege.server.report()
        self.close()
        self._start()
        pytest.fail(f"{what}\n{report[-4000:]}")

    def finish(self) -> None:
        """Fail where others had to wait, or where something was kept."""
        self._siege.check_others()
        self._siege.check_errors()
        self._siege.wait_for_files(self._early)
        # The server gives back what is free only when there is so much more than before.
        self._siege.wait_for_memory(MAX_GROWTH * self._early.memory_bytes + GROWTH_BYTES)
        assert self._siege.server.stop() == 0

    def close(self) -> None:
        """End the server and whoever is there."""
        self._siege.close()


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """One server for all that is tried on one; what came of it is looked at in the end."""
    made = Trial(tmp_path_factory.mktemp("trial"))
    try:
        yield made
    finally:
        made.close()


# Against a server.


@cases(60)
@given(sent=st.lists(frames(), max_size=8), is_greeted=st.booleans())
def test_any_frames(trial: Trial, sent: list[bytes], is_greeted: bool) -> None:
    """HTTP/2 by hand: the server answers, or closes that connection alone."""
    opening = None if is_greeted else b"".join(sent)
    with trial.connect(opening) as stranger:
        for raw in sent if is_greeted else ():
            stranger.write(raw)
        assert not is_greeted or stranger.wait_for_pong(DEADLINE_SECONDS)
    trial.check()


@cases(80)
@given(steps=calls())
def test_any_calls(trial: Trial, steps: list[Step]) -> None:
    """Calls with any path, metadata and bodies, that end in any way."""
    with trial.connect() as stranger:
        for step in steps:
            step(stranger)
        assert stranger.wait_for_pong(DEADLINE_SECONDS)
    trial.check()


@cases(80)
@given(wishes=st.lists(bodies(), min_size=1, max_size=8))
def test_any_wishes(trial: Trial, wishes: list[bytes]) -> None:
    """A full client that says and asks anything has an answer to what it says last."""
    with trial.connect() as stranger:
        stream = stranger.open(metadata=full(f"w{stranger.local_port}", history="0"))
        for raw in [*wishes, Message(message="oi", key=LAST_KEY).SerializeToString()]:
            stranger.send(stream, raw)
        assert stranger.wait_for_body(stream, LAST_KEY.encode(), DEADLINE_SECONDS)
    trial.check()


def test_nothing_is_left_of_it(trial: Trial) -> None:
    """Memory, open files and others' round trips, after all that was tried."""
    trial.finish()
