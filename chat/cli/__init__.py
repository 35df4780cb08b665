"""What both programs need of a command line: flags, the language, certificates and tokens."""
