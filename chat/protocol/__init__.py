"""What server and client agree on. Imports nothing of ours but the language of its texts."""
