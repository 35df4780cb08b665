"""Whether a stream is still the one that was followed, looked at before each new consumer.

A stream that was put back to an older copy has the same name, the same identity, and may have grown
past where it was: what tells is the last group that was taken from it, which must be in its place.
A consumer that begins beyond the end would skip, without a word, all that comes before it again.
"""

from __future__ import annotations

from dataclasses import dataclass

from chat.server.cluster.connection import AwayError
from chat.server.cluster.stream import Stream, StreamState


@dataclass(frozen=True)
class Taken:
    """The last group that was taken from a stream: its sequence and its id; 0 and "": none."""

    sequence: int = 0
    message_id: str = ""


class StreamCheck:
    """Looks at the stream. `epoch`: of the one that is followed."""

    def __init__(self, stream: Stream, epoch: str) -> None:
        self._stream = stream
        self._epoch = epoch
        self._is_suspected = False

    async def look(self, taken: Taken) -> tuple[StreamState, bool]:
        """Return how the stream is, and whether it was put back since that was taken from it.

        Only what is seen twice is believed. Raises `AwayError` and `ApiError`; the first also for
        another stream in the place of ours, which only an operator can have brought about.
        """
        state = await self._stream.look()
        if state.epoch != self._epoch:
            raise AwayError("the stream is another one than before")
        was_put_back = not await self._holds(state, taken)
        if was_put_back and not self._is_suspected:
            self._is_suspected = True
            raise AwayError("the stream seems to have been put back")
        self._is_suspected = False
        return state, was_put_back

    async def _holds(self, state: StreamState, taken: Taken) -> bool:
        if taken.sequence > state.last:
            return False
        if not taken.message_id or taken.sequence < state.first:
            return True  # nothing was taken, or it has been trimmed since
        return await self._stream.message_id(taken.sequence) == taken.message_id
