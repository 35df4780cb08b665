"""What a session tells of its connection, by `on_state`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Change(Enum):
    """What happened to the connection."""

    CONNECTED = auto()  # for the first time; the name is ours
    PLAIN = auto()  # to a server that promises nothing, for the first time or again
    SILENT = auto()  # the server has taken the connection and says nothing, for some seconds now
    WAITING_FOR_KEY = auto()  # the server does not say by which key to seal; what is private waits
    LOST = auto()  # with the `cause`
    NAME_TAKEN = auto()  # somebody else has the name by now; another attempt comes, see RETRYING
    NAME_OWNED = auto()  # it is somebody else's for good: no attempt comes before `take_name`
    RETRYING = auto()  # in `seconds`
    PASSED_OVER = auto()  # this one of several servers cannot be used (`cause`): the next is tried
    RESUMED = auto()  # everything missed is coming now
    NEW_LOG = auto()  # the server began another log: what was said meanwhile may be missing


@dataclass(frozen=True)
class State:
    """A change of the connection: `seconds` to the next attempt, `cause` of the loss.

    `address`: of the server in question, in RETRYING of the one that is tried next. `reason`: of a
    server that was passed over, where it gave one (a key of `errors.REASONS`).
    `people`: how many were in the first room when it was entered, oneself included; None where the
    server does not say.
    """

    change: Change
    seconds: float = 0.0
    cause: str = ""
    address: str = ""
    reason: str = ""
    people: int | None = None
