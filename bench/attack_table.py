"""What others notice of one stranger's attacks; a row for each of `tests/attacks.py`.

All of them, at full size, take a quarter of an hour and more. `docs/security.md` says what stops
each. On Linux it goes into a network of its own, where the attacker has another address than
everybody else. Beside the server that is attacked stands another that nobody attacks, on the same
processors and the same disk: what its echoes lose meanwhile is lost to the machine. So there are
two quotients: of the 95th percentile under attack by the quiet median, and by the 95th percentile
of the other one at the same time.

Exit code 1: above three times the quiet median, and the other one was not ("busy" rows, in which it
was, say nothing); more than 300 MB; more memory after the second time than after the first; a
traceback; a stream of the one who measures was lost; or the server did not end with 0.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import command_line

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

try:
    from attacks import ATTACKS
    from hostile_client import STRANGE_ADDRESSES, strange_address
    from siege import MAX_GROWTH, MAX_MEMORY_BYTES, Outcome, besiege
except ModuleNotFoundError as missing:  # what tests need is more than what the bench does
    sys.exit(command_line.NO_PACKAGE.format(name=missing.name))

MAX_SLOWDOWN = 3.0
SET_UP = f"ip link set lo up && ip address add {STRANGE_ADDRESSES[0]}/32 dev lo"
HEAD = (
    "attack", "quiet ms", "p95", "attacked ms", "p95", "times", "other p95", "times other",
    "stall s", "join ms", "MB before", "peak", "after", "again", "files", "lines", "stop s",
    "what it did",
)  # fmt: skip


def row(cells: Sequence[str]) -> str:
    """Return one row of the table."""
    return f"| {' | '.join(cells)} |"


def cells_of(outcome: Outcome) -> list[str]:
    """Return what stands in an attack's row."""
    before, after, again = outcome.before, outcome.after, outcome.again
    return [
        outcome.name,
        *(f"{seconds * 1e3:.1f}" for seconds in (outcome.quiet, outcome.quiet_p95)),
        *(f"{seconds * 1e3:.1f}" for seconds in (outcome.attacked, outcome.attacked_p95)),
        f"{outcome.slowdown:.1f}{' (busy)' if is_busy(outcome) else ''}",
        f"{outcome.machine_p95 * 1e3:.1f}",
        f"{outcome.attacked_p95 / outcome.machine_p95:.1f}",
        f"{outcome.stall:.2f}",
        f"{outcome.join * 1e3:.0f}",
        f"{before.memory_bytes / 1e6:.0f}",
        f"{again.peak_bytes / 1e6:.0f}",
        *(f"{use.memory_bytes / 1e6:.0f}" for use in (after, again)),
        f"{before.files}/{again.files}",
        f"{len(outcome.errors)}{' with a traceback' if outcome.has_traceback else ''}",
        f"{outcome.stop:.1f}",
        outcome.did + (f"; lost: {outcome.lost[0]}" if outcome.lost else ""),
    ]


def is_busy(outcome: Outcome) -> bool:
    """Say whether a server that nobody attacked was slow too: then the row says nothing."""
    return outcome.machine_p95 > MAX_SLOWDOWN * outcome.quiet


def is_good(outcome: Outcome) -> bool:
    """Say whether others noticed no more than they may."""
    return (
        (outcome.slowdown <= MAX_SLOWDOWN or is_busy(outcome))
        and outcome.again.peak_bytes <= MAX_MEMORY_BYTES
        and outcome.again.memory_bytes <= MAX_GROWTH * outcome.after.memory_bytes
        and not outcome.has_traceback
        and not outcome.lost
        and outcome.exit_code == 0
    )


def enter_own_network() -> None:
    """Go on in a network namespace with one address more, where that can be had (unshare(1))."""
    if strange_address() == STRANGE_ADDRESSES[0] or shutil.which("unshare") is None:
        return
    enter = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", f'{SET_UP} && exec "$@"']
    is_possible = subprocess.run([*enter, "sh", "true"], check=False, capture_output=True)
    if is_possible.returncode == 0:
        os.execvp(enter[0], [*enter, "sh", sys.executable, *sys.argv])


def parser() -> ArgumentParser:
    """Return what reads the command line."""
    made = command_line.parser_of(__doc__)
    above_zero = command_line.above_zero
    made.add_argument(
        "scale", nargs="?", type=above_zero, default=1.0, help="of each attack (%(default)s)"
    )
    made.add_argument(
        "seconds", nargs="?", type=above_zero, default=8.0, help="that each takes (%(default)s)"
    )
    made.add_argument(
        "names", nargs="*", metavar="name", help=f"of attacks (all): {', '.join(ATTACKS)}"
    )
    return made


def main() -> int:
    """Run the attacks that are named, or all."""
    reader = parser()
    flags = reader.parse_args()
    if unknown := set(flags.names) - set(ATTACKS):
        reader.error(f"no such attack: {', '.join(sorted(unknown))}; see --help")
    enter_own_network()
    print(row(HEAD))
    print(row(["---"] * len(HEAD)), flush=True)
    all_good = True
    for name in flags.names or ATTACKS:
        with tempfile.TemporaryDirectory(prefix="chat-attack-") as folder:
            try:
                outcome = besiege(name, Path(folder), flags.scale, flags.seconds)
            except AssertionError as error:  # nobody was let in any more, or the like
                print(row([name, ascii(str(error)[-600:])]), flush=True)
                all_good = False
                continue
        print(row(cells_of(outcome)), flush=True)
        all_good = all_good and is_good(outcome)
    if hasattr(os, "getloadavg"):
        loads = ", ".join(f"{load:.1f}" for load in os.getloadavg())
        print(f"\nLoad over 1, 5 and 15 minutes: {loads}; {os.cpu_count()} processors.")
    return 0 if all_good else 1


if __name__ == "__main__":
    command_line.run(main)
