"""Looks for holes that are known in what is locked: pip-audit, over requirements.lock.

    python tools/audit.py           say which there are, and fail if there are any

It asks PyPI, once for each package. Where that cannot be reached, takes too long, or is a mirror
that knows of no holes, nothing has become worse: it says so, and does not fail.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCK = "requirements.lock"
# Of one answer, and of all together.
ANSWER_SECONDS = 5
AUDIT_SECONDS = 60
PIP_AUDIT = (
    *(sys.executable, "-m", "pip_audit", "--requirement", LOCK, "--disable-pip"),
    *("--format", "json", "--progress-spinner", "off", "--timeout", str(ANSWER_SECONDS)),
)
# What requests raises, by which pip-audit then ends, and what it says itself.
UNREACHABLE = re.compile(r"requests\.exceptions\.|urllib3\.exceptions\.|ConnectionError|onnect to")


def holes(dependencies: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield a line for each hole: where it is, what it is called, and which version has none."""
    for package in dependencies:
        for found in package.get("vulns", ()):
            names = " ".join([found["id"], *found.get("aliases", ())])
            mended = ", ".join(found["fix_versions"]) or "no version yet"
            yield f"{package['name']} {package['version']}: {names}; mended in {mended}"


def judge(report: str) -> int:
    """Say what a report of pip-audit's (JSON) holds; return the exit code."""
    dependencies = json.loads(report)["dependencies"]
    unknown = sum("skip_reason" in package for package in dependencies)
    found = list(holes(dependencies))
    for line in found:
        print(f"{LOCK}: {line}", file=sys.stderr)
    if unknown:
        print(f"Known holes: {unknown} of {len(dependencies)} packages could not be looked up.")
    elif not found:
        print(f"Known holes: none in {len(dependencies)} packages.")
    return 1 if found else 0


def main(command: Sequence[str] = PIP_AUDIT, seconds: float = AUDIT_SECONDS) -> int:
    """Run pip-audit by `command`, for so long at most; return the exit code."""
    try:
        result = subprocess.run(
            command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=seconds
        )
    except subprocess.TimeoutExpired:
        print("Known holes: not looked up, since PyPI does not answer in time.")
        return 0
    if result.stdout.startswith("{"):
        return judge(result.stdout)
    if UNREACHABLE.search(result.stderr):
        print("Known holes: not looked up, since PyPI cannot be reached.")
        return 0
    print(result.stderr.strip() or "pip-audit has said nothing", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
