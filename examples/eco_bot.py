"""A bot that says again what follows `!eco`: `python -m examples.eco_bot [HOST:PORT [ROOM...]]`."""

from chat.client import Session, run
from chat_pb2 import KIND_UNSPECIFIED


def main(address: str = "localhost:50051", *rooms: str) -> None:
    """Answer for as long as nobody stops it; comes back by itself when the server does."""
    rooms = rooms or ("",)
    with Session(address, "eco", rooms=rooms, history=0, retry_first_connect=True) as chat:
        for message in chat:
            command, _space, text = message.message.partition(" ")
            is_order = message.kind == KIND_UNSPECIFIED and command == "!eco" and text.strip()
            if is_order and message.user != chat.name:
                # In the room where it was asked; privately to whoever asked privately.
                chat.send(text, room=message.room, to=message.user if message.to else "")


if __name__ == "__main__":
    run(main)
