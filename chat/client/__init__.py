"""The client's wing. `from chat.client import Session` is all that a bot needs.

Never imports the server's wing. gRPC is known to `connection.py` and `session.py` alone.
"""

from chat.client.bots import run
from chat.client.cursor import Place
from chat.client.session import Session
from chat.client.state import Change, State
from chat.client.trust import Trust
from chat.protocol.errors import ChatError, ConfigError

__all__ = ["Change", "ChatError", "ConfigError", "Place", "Session", "State", "Trust", "run"]
