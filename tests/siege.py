"""An attack on a running server, and what others notice of it: used by tests and by the bench.

The server, the attacker and the one who measures are three processes of one machine, so what is
measured under attack is held against what was measured before and after it, when all was quiet.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from attacks import ATTACKS
from probe import HAS_PROC, Probe, Watched, percentile
from support import (
    ROOT,
    Program,
    eventually,
    full_client,
    running_program,
    running_server,
)

# A round trip above this is slow; on a machine that is slow itself, so many quiet ones are.
SLOW_SECONDS = 0.25
QUIET_FACTOR = 20
# So long, at most, may all round trips be slow; ten times that where others use the machine too.
MAX_STALL_SECONDS = 1.0
BUSY_FACTOR = 10
MAX_MEMORY_BYTES = 300_000_000
# What comes back is within 10 % of what was there.
MAX_GROWTH = 1.1
# What a server says of strangers: so many lines a second at most.
MAX_ERROR_LINES = 10
LOG_MESSAGES = 1000
SETTLE_SECONDS = 10.0
PREPARE_SECONDS = 120.0


@dataclass(frozen=True)
class Use:
    """What a server uses at one moment; zeros where there is no /proc."""

    memory_bytes: int = 0
    peak_bytes: int = 0
    files: int = 0


class Siege:
    """A server with some settings, and somebody in it who measures, for the length of a block.

    `path`: of its log, which may be filled already.
    """

    def __init__(self, path: str | Path, settings: Mapping[str, str]) -> None:
        self._token = settings.get("CHAT_TOKEN", "")
        with ExitStack() as opened:
            self.server = opened.enter_context(running_server("--quiet", db=path, env=settings))
            probe = Probe(self.server.address, token=self._token)
            self.probe = opened.enter_context(probe)
            self.quiet_seconds = self.probe.quiet_median()
            self._opened = opened.pop_all()
        self._started = time.monotonic()
        self._errors_seen = 0

    def __enter__(self) -> Siege:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End both."""
        self._opened.close()

    def use(self) -> Use:
        """Return what the server uses now, and the most memory that it has had."""
        if not HAS_PROC:
            return Use()
        watched = Watched(self.server.process.pid)
        return Use(watched.resident_bytes(), watched.peak_bytes(), watched.open_files())

    def wait_for_files(self, before: Use) -> None:
        """Wait until it has no more open files than before, within 10 %."""
        most = MAX_GROWTH * before.files
        eventually(lambda: self.use().files <= most, SETTLE_SECONDS, lambda: f"{self.use()}")

    def wait_for_memory(self, most_bytes: float) -> None:
        """Wait until it has no more memory than that."""
        eventually(lambda: self.use().memory_bytes <= most_bytes, SETTLE_SECONDS)

    def join_seconds(self) -> float:
        """Return what the join of a newcomer takes, until its first word came; it is let in."""
        started = time.monotonic()
        with full_client(self.server.address, "newcomer", token=self._token) as newcomer:
            took = time.monotonic() - started
            assert newcomer.epoch, f"{newcomer.report()}\n{self.server.report()[-4000:]}"
        return took

    def check_others(self) -> None:
        """Fail where others noticed it: no good echo for long, or their streams ended."""
        limit = max(SLOW_SECONDS, QUIET_FACTOR * self.quiet_seconds)
        self.probe.wait_for_round_trips(1)
        stall = self.probe.longest_stall(self._started, time.monotonic(), limit)
        what = f"no echo within {limit} s for {stall:.2f} s"
        assert stall <= BUSY_FACTOR * max(MAX_STALL_SECONDS, limit), what
        assert self.probe.ends == []

    def check_errors(self) -> None:
        """Fail where the server printed a traceback, or said more than it may in the time."""
        errors = self.server.errors
        assert "Traceback" not in "\n".join(errors), self.server.report()[-4000:]
        # The server counts by the second: a second's lines may stand at either end of the time.
        most = MAX_ERROR_LINES * (time.monotonic() - self._started + 2)
        assert len(errors) <= most, f"{len(errors)} lines\n{self.server.report()[-4000:]}"


@dataclass(frozen=True)
class Outcome:
    """What came of one attack; times in seconds; `quiet`, `attacked`: medians of round trips.

    `machine_p95`: at the same time, of a server that nobody attacks, on the same processors.
    `join`: what a newcomer's join took while it lasted; `stall`: the longest time without an echo
    within a quarter of a second. `again`: after the same attack once more. `errors`: the server's
    standard error; `lost`: how streams of the one who measures ended, if any did.
    """

    name: str
    did: str
    quiet: float
    quiet_p95: float
    attacked: float
    attacked_p95: float
    machine_p95: float
    stall: float
    join: float
    before: Use
    after: Use
    again: Use
    errors: list[str]
    lost: list[str]
    exit_code: int
    stop: float

    @property
    def slowdown(self) -> float:
        """How many times the quiet median the 95th percentile under attack is."""
        return self.attacked_p95 / self.quiet

    @property
    def has_traceback(self) -> bool:
        return any("Traceback" in line for line in self.errors)


def fill_log(path: Path) -> None:
    """Make a log of 8 MB."""
    with running_server("--rate", "0", "--quiet", db=path) as server:
        with full_client(server.address, "filler", history=0, batch=True) as filler:
            for number in range(LOG_MESSAGES):
                filler.say("x" * 8000, key=str(number))
            filler.wait_for_key(str(LOG_MESSAGES - 1))
        assert server.stop() == 0


def besiege(name: str, folder: Path, scale: float, seconds: float) -> Outcome:
    """Attack a server of its own; quiet, attack and quiet again are equally long."""
    attack = ATTACKS[name]
    path = folder / "chat.db"
    if attack.reads_log:
        fill_log(path)
    with (
        Siege(folder / "other.db", {}) as other,
        Siege(path, attack.settings) as siege,
        running_attack(name, siege, scale, seconds) as attacker,
    ):
        return _measure(name, siege, other, attacker, scale, seconds)


def running_attack(
    name: str, siege: Siege, scale: float, seconds: float
) -> AbstractContextManager[Program]:
    """Run an attack as a program of its own."""
    script = str(ROOT / "tests" / "attacks.py")
    return running_program(script, name, str(siege.server.port), str(scale), str(seconds))


def _measure(
    name: str, siege: Siege, other: Siege, attacker: Program, scale: float, seconds: float
) -> Outcome:
    probe, server = siege.probe, siege.server
    attacker.wait_for_line("ready", PREPARE_SECONDS)
    before = siege.use()
    quiet = probe.observe(seconds)
    begun = time.monotonic()
    attacker.type("go")
    probe.observe(seconds / 2)
    join = siege.join_seconds()
    attacker.wait(seconds + PREPARE_SECONDS)
    ended = time.monotonic()
    attacked = probe.round_trips(begun, ended)
    unattacked = other.probe.round_trips(begun, ended)
    stall = probe.longest_stall(begun, ended, SLOW_SECONDS)
    after = _settle(siege, before)
    quiet += probe.observe(seconds)
    with running_attack(name, siege, scale, seconds / 2) as repeated:
        repeated.wait_for_line("ready", PREPARE_SECONDS)
        repeated.type("go")
        repeated.wait(seconds + PREPARE_SECONDS)
    with suppress(AssertionError):  # what was freed is given back within some seconds
        siege.wait_for_memory(MAX_GROWTH * after.memory_bytes)
    again = _settle(siege, before)
    lost = list(probe.ends)
    stopping = time.monotonic()
    exit_code = server.stop(seconds=30)
    return Outcome(
        name=name,
        did=attacker.lines[-1],
        quiet=statistics.median(quiet),
        quiet_p95=percentile(quiet, 95),
        attacked=statistics.median(attacked),
        attacked_p95=percentile(attacked, 95),
        machine_p95=percentile(unattacked, 95),
        stall=stall,
        join=join,
        before=before,
        after=after,
        again=again,
        errors=list(server.errors),
        lost=lost,
        exit_code=exit_code,
        stop=time.monotonic() - stopping,
    )


def _settle(siege: Siege, before: Use) -> Use:
    """Return what the server uses once it has closed what it had opened, or has had its time."""
    with suppress(AssertionError):
        siege.wait_for_files(before)
    siege.probe.quiet_median()
    return siege.use()
