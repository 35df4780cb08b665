"""What others notice while a server is attacked: echoes, and what a process uses of the machine.

`Probe` is an honest client that says something twenty times a second, whether or not the last one
was answered, and times each echo. `Watched` reads what the kernel says of a process; only where
there is /proc. They know the contract only.
"""

from __future__ import annotations

import queue
import re
import statistics
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc
from support import CHANNEL_OPTIONS, DEADLINE_SECONDS, METHOD, eventually, full_metadata

import chat_pb2

Message = chat_pb2.Message
PAUSE_SECONDS = 0.05
HAS_PROC = Path("/proc/self/status").exists()


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that `percent` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


class Probe:
    """One person in a room, whose round trips are measured from entering the block to its end.

    It comes again when its stream ends. One lock for what both its threads touch: `_lock`.
    """

    def __init__(self, address: str, name: str = "probe", token: str = "") -> None:
        self.heard_messages = 0
        self.ends: list[str] = []  # how its streams ended, if any did before the block
        self._metadata = full_metadata(name, history=0, batch=True, token=token)
        self._lock = threading.Lock()
        self._sent: dict[str, float] = {}
        self._round_trips: list[tuple[float, float]] = []  # when it was sent, what it took
        self._is_over = threading.Event()
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._call: Any = None
        self._channel = grpc.insecure_channel(address, CHANNEL_OPTIONS)
        self._threads = [
            threading.Thread(target=self._hear, name="probe-hears"),
            threading.Thread(target=self._speak, name="probe-speaks"),
        ]

    def __enter__(self) -> Probe:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._requests.put(None)
        if self._call is not None:
            self._call.cancel()
        for thread in self._threads:
            thread.join()
        self._channel.close()

    def _hear(self) -> None:
        while not self._is_over.is_set():
            requests = self._requests
            chat: Any = self._channel.stream_stream(METHOD, None, None)
            self._call = chat(iter(requests.get, None), metadata=self._metadata)
            with suppress(grpc.RpcError):
                for raw in self._call:
                    self._take(Message.FromString(raw))
            self._requests = queue.SimpleQueue()
            requests.put(None)
            if not self._is_over.wait(PAUSE_SECONDS):
                self.ends.append(f"{self._call.code()} {self._call.details()}")

    def _take(self, message: Message) -> None:
        now = time.monotonic()
        parts = message.batch or (message,)
        self.heard_messages += len(parts)
        with self._lock:
            for part in parts:
                sent_at = self._sent.pop(part.key, None)
                if sent_at is not None:
                    self._round_trips.append((sent_at, now - sent_at))

    def _speak(self) -> None:
        number = 0
        while not self._is_over.wait(PAUSE_SECONDS):
            number += 1
            key = f"probe-{id(self)}-{number}"
            with self._lock:
                self._sent[key] = time.monotonic()
            self._requests.put(Message(message="oi", key=key).SerializeToString())

    def round_trips(self, start: float, end: float) -> list[float]:
        """Return what the echoes took, in seconds, of what was said between two times.

        One that has not come yet counts as long as it has waited.
        """
        now = time.monotonic()
        with self._lock:
            waiting = [(sent_at, now - sent_at) for sent_at in self._sent.values()]
            every = self._round_trips + waiting
        return [took for sent_at, took in sorted(every) if start <= sent_at < end]

    def wait_for_round_trips(self, count: int, seconds: float = DEADLINE_SECONDS) -> None:
        """Wait until so many more echoes have come."""
        wished = len(self._round_trips) + count
        eventually(lambda: len(self._round_trips) >= wished, seconds, lambda: f"{self.ends}")

    def quiet_median(self, count: int = 20) -> float:
        """Return the median of the next `count` round trips, in seconds."""
        start = time.monotonic()
        self.wait_for_round_trips(count)
        return statistics.median(self.round_trips(start, time.monotonic()))

    def observe(self, seconds: float) -> list[float]:
        """Measure for so long; return what the round trips of that time took."""
        start = time.monotonic()
        self._is_over.wait(seconds)
        return self.round_trips(start, start + seconds)

    def longest_stall(self, start: float, end: float, limit_seconds: float = 0.25) -> float:
        """Return the longest time, in seconds, in which no echo came within the limit."""
        with self._lock:
            good = sorted(at for at, took in self._round_trips if took <= limit_seconds)
        marks = [start, *(at for at in good if start <= at < end), end]
        return max(later - earlier for earlier, later in zip(marks, marks[1:], strict=False))


class Watched:
    """What a process uses, by /proc."""

    def __init__(self, process_id: int) -> None:
        self._folder = Path(f"/proc/{process_id}")

    def resident_bytes(self) -> int:
        """Return the memory that it has now."""
        return self._status("VmRSS")

    def peak_bytes(self) -> int:
        """Return the most memory that it has had."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        """Count the peak from now on (proc(5), clear_refs)."""
        (self._folder / "clear_refs").write_text("5")

    def open_files(self) -> int:
        """Return how many descriptors are open."""
        return len(list((self._folder / "fd").iterdir()))

    def _status(self, key: str) -> int:
        found = re.search(rf"{key}:\s+(\d+) kB", (self._folder / "status").read_text())
        assert found
        return int(found[1]) * 1024
