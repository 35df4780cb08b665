"""NATS, as the servers of one chat use it: the connection, the stream, whoever follows it."""
