"""A bot that joins two rooms: `python -m examples.ponte_bot HOST:PORT ROOM ROOM`."""

from chat.client import Session, run
from chat.protocol.kinds import SAID
from chat.protocol.names import name_key

PART = 2000  # characters, which are less than the 8192 bytes of a message


def main(address: str, one: str, other: str) -> None:
    """Say in each room what others say in the other one, for as long as nobody stops it."""
    across = {name_key(one): other, name_key(other): one}
    with Session(address, "ponte", rooms=[one, other], history=0, retry_first_connect=True) as chat:
        for message in chat:
            if message.kind not in SAID or message.to or message.user == chat.name:
                continue
            said = f"{message.user}: {message.message}"
            for start in range(0, len(said), PART):
                if part := said[start : start + PART].strip():
                    chat.send(part, room=across[name_key(message.room)])


if __name__ == "__main__":
    run(main)
