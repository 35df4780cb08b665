"""A client on grpclib, which is gRPC in pure Python and shares no code with grpcio.

Run it: `python grpclib_client.py HOST PORT NAME TEXT COUNT`. Says TEXT, prints what it hears as
`[user]: message`, half-closes after COUNT messages and prints `ended OK` when the server ends the
stream so.

In a process of its own: its `chat_pb2` and ours cannot both be loaded.
"""

from __future__ import annotations

import asyncio
import sys

from grpclib.client import Channel, StreamStreamMethod

import chat_pb2


async def talk(host: str, port: int, name: str, text: str, count: int) -> None:
    """Say `text`, hear `count` messages, and leave."""
    async with Channel(host, port) as channel:
        chat = StreamStreamMethod(channel, "/ChatService/Chat", chat_pb2.Message, chat_pb2.Message)
        async with chat.open() as stream:
            await stream.send_message(chat_pb2.Message(user=name, message=text))
            for _ in range(count):
                message = await stream.recv_message()
                assert message is not None
                print(f"[{message.user}]: {message.message}", flush=True)
            await stream.end()
            while await stream.recv_message() is not None:
                pass
    print("ended OK", flush=True)


if __name__ == "__main__":
    asyncio.run(talk(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])))
