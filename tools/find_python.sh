#!/bin/sh
# Prints the command of the newest Python (3.10 or later, no alpha or beta) that really runs here and
# can make virtual environments. A command may be there and yet not run: pyenv's shims, the Windows
# store's alias.
IFS=:
minors=$(for folder in $PATH; do
    for file in "$folder"/python3.[0-9]*; do
        minor=${file##*/python3.}
        minor=${minor%.exe}
        case $minor in *[!0-9]*) ;; *) echo "$minor" ;; esac
    done
done | sort -rnu)
unset IFS
for python in $(printf 'python3.%s ' $minors) python3 python; do
    if "$python" -c 'import ensurepip, sys, venv
sys.exit(sys.version_info < (3, 10) or sys.version_info.releaselevel in ("alpha", "beta"))' \
        >/dev/null 2>&1; then
        echo "$python"
        exit 0
    fi
done
echo "No Python 3.10 or later with venv was found. Install it (Debian: apt install python3-venv)." >&2
exit 1
