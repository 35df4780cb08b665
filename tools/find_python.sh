#!/bin/sh
# Prints the command of the newest Python (3.10 or later) that really runs here and can make virtual
# environments. A command may be there and yet not run: pyenv's shims, the Windows store's alias.
for python in python3.13 python3.12 python3.11 python3.10 python3 python; do
    if "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' \
        >/dev/null 2>&1; then
        echo "$python"
        exit 0
    fi
done
echo "No Python 3.10 or later with venv was found. Install it (Debian: apt install python3-venv)." >&2
exit 1
