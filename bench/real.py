"""The load generator's check: the same load from real gRPC clients. `run.py --check` starts it.

Argument and answer are those of `load.py`, of whose plan it knows only the paced sort: one client
says one thing every `pace_seconds`, and all count what they hear. A gRPC client costs several times
what a delivery costs the server, so this cannot load a server as `load.py` does; it can show that
the server has the same work with either.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import grpc
from load import MARK, SEED_PATH, STAMP, TEXT_BYTES, Plan, Report, cpu_seconds, rss_kb

import chat_pb2


class Client:
    """One gRPC client, on a channel of its own; what it gets is not decoded, as in `load.py`."""

    def __init__(self, number: int, plan: Plan) -> None:
        self._name = f"c{number:06x}"
        self._is_batch = plan.is_batch
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{plan.port}", options)
        metadata: list[tuple[str, Any]] = []
        if plan.is_batch:
            name = ("chat-user-bin", self._name.encode())
            metadata = [name, ("chat-batch", "1"), ("chat-history", "0")]
        self._call: Any = self._channel.stream_stream(SEED_PATH)(metadata=metadata)
        self.heard = 0
        self.latencies: list[float] = []
        self._listening = asyncio.create_task(self._listen(), name=self._name)

    async def _listen(self) -> None:
        while (raw := await self._call.read()) is not grpc.aio.EOF:
            self.heard += raw.count(MARK)
            now = time.monotonic_ns()
            self.latencies += [(now - int(sent[2], 16)) / 1e6 for sent in STAMP.finditer(raw)]

    async def speak(self) -> None:
        """Say what a client of `load.py` says."""
        stamp = MARK.decode() + self._name[1:] + f"{time.monotonic_ns():016x}"
        text = stamp.ljust(TEXT_BYTES, ".")
        key = os.urandom(12).hex() if self._is_batch else ""
        message = chat_pb2.Message(user=self._name, message=text, key=key)
        await self._call.write(message.SerializeToString())

    async def leave(self) -> None:
        """End the stream and the channel."""
        self._call.cancel()
        await self._channel.close()


def forget(clients: Sequence[Client]) -> None:
    """Begin to count."""
    for client in clients:
        client.heard = 0
        client.latencies.clear()


async def speak_for(seconds: float, speaker: Client, pace_seconds: float) -> int:
    """Let one client say something every `pace_seconds`; return how often it did."""
    started, said = time.monotonic(), 0
    while (now := time.monotonic()) < started + seconds:
        due = started + said * pace_seconds
        if now < due:
            await asyncio.sleep(due - now)
        await speaker.speak()
        said += 1
    return said


async def carry_out(plan: Plan) -> Report:
    """Do what `plan` says, warm up first."""
    report = Report(clients=plan.clients, rss_before_kb=rss_kb(plan.pid))
    clients = [Client(number, plan) for number in range(plan.clients)]
    while not all(client.heard for client in clients):
        await clients[-1].speak()
        await asyncio.sleep(plan.pace_seconds)
    await speak_for(plan.warm_seconds, clients[-1], plan.pace_seconds)
    forget(clients)
    started, server, own = time.monotonic(), cpu_seconds(plan.pid), time.process_time()
    report.sent = await speak_for(plan.seconds, clients[-1], plan.pace_seconds)
    report.seconds = time.monotonic() - started
    report.server_cpu_seconds = cpu_seconds(plan.pid) - server
    report.generator_cpu_seconds = time.process_time() - own
    report.deliveries = sum(client.heard for client in clients)
    report.rss_kb = rss_kb(plan.pid)
    latencies = sorted(latency for client in clients for latency in client.latencies)
    report.p50_ms = latencies[len(latencies) // 2]
    report.p99_ms = latencies[len(latencies) * 99 // 100]
    await asyncio.gather(*(client.leave() for client in clients))
    return report


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(carry_out(Plan(**json.loads(sys.argv[1])))))))
