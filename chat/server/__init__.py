"""The server's wing: rooms, members, queues and the log. Never imports the client's."""
