"""A bot that says again what follows `!eco`: `python -m examples.eco_bot [HOST:PORT [ROOM...]]`."""

import sys
from contextlib import suppress

from chat.client import Session
from chat_pb2 import KIND_UNSPECIFIED


def main(address: str, rooms: list[str]) -> None:
    """Answer for as long as nobody stops it; comes back by itself when the server does."""
    with Session(address, "eco", rooms=rooms, history=0, retry_first_connect=True) as chat:
        for message in chat:
            command, _space, text = message.message.partition(" ")
            is_order = message.kind == KIND_UNSPECIFIED and command == "!eco" and text.strip()
            if is_order and message.user != chat.name:
                # In the room where it was asked; privately to whoever asked privately.
                chat.send(text, room=message.room, to=message.user if message.to else "")


if __name__ == "__main__":
    address, *rooms = sys.argv[1:] or ["localhost:50051"]
    with suppress(KeyboardInterrupt):
        main(address, rooms or [""])
