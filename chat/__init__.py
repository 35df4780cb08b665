"""The chat: what both sides agree on, the server's wing, the client's wing, the command lines.

`server.py` and `client.py`, beside this package, tell the story; from here they take the parts.
The only place of the version.
"""

__version__ = "1.0.0"
