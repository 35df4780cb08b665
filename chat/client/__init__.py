"""The client's wing: the session that is kept alive, and the conversation at a terminal."""
