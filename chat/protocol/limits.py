"""Every number of the contract, once. What only one side knows of stands in its own modules."""

from __future__ import annotations

DEFAULT_PORT = 50051

# Names of people and rooms, in characters after NFC.
MAX_NAME_CHARACTERS = 32
# What may become one, before it is normalised: that is quadratic in marks (240 kB took 47 s).
MAX_RAW_NAME_CHARACTERS = 128
# A message, in bytes of UTF-8.
MAX_MESSAGE_BYTES = 8192
# The sender's key, in characters.
MAX_KEY_CHARACTERS = 256
# The key of a message that cannot be decoded as a whole, in bytes: a longer one is none of ours.
MAX_BROKEN_KEY_BYTES = 1 << 10
# What is sealed has a length in these steps, so that its own says little.
SEAL_STEP_BYTES = 256
# A sealed message: the longest text with its names, its key, the time and the padding take 38
# steps; keys, a signature, the nonce and the tag take the rest.
MAX_SEALED_BYTES = 202 + 38 * SEAL_STEP_BYTES
# One gRPC message to the server, unpacked: one `Message` with every field at its longest fits.
MAX_RECEIVE_BYTES = 64 << 10
# Streams on one connection at a time.
MAX_STREAMS = 100
# All metadata of one request. HTTP/2 counts so much for each pair beside its name and value
# (RFC 9113, 6.5.2).
MAX_METADATA_BYTES = 8 << 10
HEADER_OVERHEAD_BYTES = 32
# A batch from the server. The answer to a ping waits behind what is on its way: on a line of 6 kB/s
# this takes 5.5 s. And one to a reader who takes all so soon that this takes no time.
MAX_BATCH_BYTES = 32 << 10
MAX_QUICK_BATCH_BYTES = 128 << 10

# How many of a room's last messages come first, unless the client says otherwise.
DEFAULT_HISTORY = 20
MAX_HISTORY = 1000
# What is searched for: characters, and words or phrases of which all must be there; and how many
# messages one answer finds.
MAX_SEARCH_CHARACTERS = 256
MAX_SEARCH_TERMS = 8
MAX_FOUND = 50
# Private messages that wait for the owner of a name who is away.
MAX_WAITING_MESSAGES = 1000
# Rooms that one client is in at a time.
MAX_ROOMS = 20
# Closed rooms of one owner, those among them that are open again and in which something was said
# meanwhile that is still kept for its guests. A record each, in memory too.
MAX_CLOSED_ROOMS = 100
# Guests of a closed room: as many as see each other come and go.
MAX_GUESTS = 200
# A closed room that nobody has used for so long opens by itself, or names of rooms would run out.
UNUSED_ROOM_SECONDS = 90 * 86_400.0
# How long the name of a client whose connection was lost is held for its session.
HELD_SECONDS = 60.0
# What an operator gives as a reason, and says to all rooms, in characters, on one line.
MAX_WORDS_CHARACTERS = 256
MAX_ANNOUNCEMENT_CHARACTERS = 1000
# In a larger room comings and goings would drown the conversation: they are not told.
MAX_PRESENCE_MEMBERS = 200

# Both sides: a ping after 20 s of silence, and 10 s for the other machine to confirm that it came
# (TCP_USER_TIMEOUT), so that a vanished peer is found in 30.
KEEPALIVE_TIME_MS = 20_000
KEEPALIVE_TIMEOUT_MS = 10_000
# The answer itself may take longer: on a slow line it waits behind all that is on its way already.
PING_TIMEOUT_MS = 60_000

# How long a proof that a name is one's own holds, and how far two machines' clocks may be apart.
PROOF_SECONDS = 60.0
MAX_SKEW_SECONDS = 300.0
