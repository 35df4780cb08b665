"""The terminals: what a user sees and types. Knows no network."""
