"""The kinds of message, by what they are about. What each of them means is in `chat.proto`."""

from __future__ import annotations

from chat_pb2 import (
    KIND_ACTION,
    KIND_BANNED,
    KIND_CLOSED,
    KIND_ENTERED,
    KIND_EXITED,
    KIND_HISTORY,
    KIND_INVITED,
    KIND_JOINED,
    KIND_LEFT,
    KIND_MUTED,
    KIND_OPENED,
    KIND_PRESENT,
    KIND_REMOVED,
    KIND_RENAMED,
    KIND_SEARCH,
    KIND_UNSPECIFIED,
)

# What somebody says or does.
SAID = (KIND_UNSPECIFIED, KIND_ACTION)
# Who is there, comes, goes or is called otherwise.
PRESENCE = (KIND_JOINED, KIND_LEFT, KIND_RENAMED, KIND_PRESENT)
# Being in one room more, or less.
MOVES = (KIND_ENTERED, KIND_EXITED)
# What is answered by messages of the log in `batch`, in parts.
READINGS = (KIND_HISTORY, KIND_SEARCH)
# Who may enter a room.
DOORS = (KIND_CLOSED, KIND_OPENED, KIND_INVITED)
# What an operator does to somebody.
MODERATION = (KIND_REMOVED, KIND_BANNED, KIND_MUTED)
# The `user` of a NOTICE that is no reason: what an operator says to all rooms.
ANNOUNCEMENT = "ANNOUNCEMENT"
