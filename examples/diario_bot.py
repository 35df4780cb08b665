"""A bot that writes down what is said: `python -m examples.diario_bot FILE HOST:PORT [ROOM...]`."""

import json
import sqlite3
from contextlib import closing

from chat.client import Place, Session, run


def main(path: str, address: str, *rooms: str) -> None:
    """Write each message down once, whichever side is killed, and started again, in between."""
    with closing(sqlite3.connect(path)) as diary:
        diary.execute("CREATE TABLE IF NOT EXISTS said (room, id, user, text)")
        diary.execute("CREATE TABLE IF NOT EXISTS seen (one PRIMARY KEY, own, place)")
        _one, own, seen = diary.execute("SELECT * FROM seen").fetchone() or (1, "", "{}")
        rooms, place = rooms or ("",), Place(**json.loads(seen))
        with Session(
            address, "diario", rooms=rooms, session_id=own, place=place, retry_first_connect=True
        ) as chat:
            chat.on_pause = diary.commit  # what came together, and how far that goes, or neither
            for message in chat:
                if message.id:
                    said = (message.room, message.id, message.user, message.message)
                    diary.execute("INSERT INTO said VALUES (?, ?, ?, ?)", said)
                kept = (chat.id, json.dumps(vars(chat.place)))
                diary.execute("REPLACE INTO seen VALUES (1, ?, ?)", kept)


if __name__ == "__main__":
    run(main, sqlite3.Error)
