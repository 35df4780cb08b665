"""The log: the one ordered list of all that is said, and where it is kept."""
