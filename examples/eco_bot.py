"""A bot that says again what follows `!eco`. Run it: `python -m examples.eco_bot [HOST:PORT]`."""

import sys
from contextlib import suppress

from chat.client import Session
from chat_pb2 import KIND_UNSPECIFIED


def main(address: str) -> None:
    """Answer for as long as nobody stops it; comes back by itself when the server does."""
    with Session(address, "eco", history=0, retry_first_connect=True) as chat:
        for message in chat:
            command, _space, text = message.message.partition(" ")
            is_order = message.kind == KIND_UNSPECIFIED and command == "!eco" and text.strip()
            if is_order and message.user != chat.name:
                # Privately to whoever asked privately.
                chat.send(text, to=message.user if message.to else "")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main(sys.argv[1] if len(sys.argv) > 1 else "localhost:50051")
