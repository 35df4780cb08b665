"""What the documents take from the programs themselves: flags, commands, refusals, the bot.

    python tools/documents.py           write it anew
    python tools/documents.py --check   fail if what is written there is not what the programs say

A part begins with a line `<!-- made by tools/documents.py: NAME -->` and ends with `<!-- end -->`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import demo  # noqa: E402
import scale  # noqa: E402
from scale import table  # noqa: E402

from chat.cli import i18n  # noqa: E402
from chat.client import commands  # noqa: E402
from chat.protocol.errors import REASONS, explain  # noqa: E402

LANGUAGE = "en"
# By their paths from the root. LEIAME.md has no tables: `--help` and `/ajuda` speak Portuguese.
DOCUMENTS = (
    "README.md",
    "LEIAME.md",
    "SECURITY.md",
    "docs/using.md",
    "docs/operating.md",
    "docs/security.md",
    "docs/protocol.md",
    "docs/design.md",
    "docs/scale.md",
    "docs/development.md",
)
PART = re.compile(r"(<!-- made by tools/documents.py: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
# A flag that can be turned off has two forms: `--own-names, --no-own-names`.
FLAG = re.compile(
    r"^  (--[\w-]+(?:, --[\w-]+)*)(?: \S+)?\s+(.+) \[(CHAT_\w+)(?:; (.*))?\]$", re.MULTILINE
)
TOO_WIDE_TO_WRAP = "1000"
TIME_LIMIT_SECONDS = 120


def output_of(*arguments: str) -> str:
    """Return what `python ARGUMENTS…` shows in English, with no settings of ours."""
    settings = {"CHAT_LANG": LANGUAGE, "COLUMNS": TOO_WIDE_TO_WRAP}
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=demo.environment() | settings,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=TIME_LIMIT_SECONDS,
    )
    if result.returncode != 0:
        raise RuntimeError(f"{arguments} failed: {result.stdout}{result.stderr}")
    return result.stdout


def code(text: str) -> str:
    return f"`{text}`" if text else ""


def flags_of(program: str) -> str:
    """Return the table of a program's flags, as its `--help` has them."""
    rows = [
        (", ".join(map(code, flag.split(", "))), code(variable), code(default), text)
        for flag, text, variable, default in FLAG.findall(output_of(program, "--help"))
    ]
    return table(("flag", "variable", "default", "meaning"), rows)


def refusals() -> str:
    """Return the table of what a server may refuse, those that end a stream first."""
    rows = [
        (code(name), code(reason.status), explain(name, name))
        for name, reason in sorted(REASONS.items(), key=lambda row: not row[1].status)
        if not reason.is_local
    ]
    return table(("reason", "status", "meaning"), rows)


def bot(name: str) -> str:
    """Return an example bot, whole."""
    return f"```python\n{(ROOT / 'examples' / name).read_text(encoding='utf-8')}```\n"


PARTS: dict[str, Callable[[], str]] = {
    "flags of server.py": lambda: flags_of("server.py"),
    "flags of client.py": lambda: flags_of("client.py"),
    "commands": commands.markdown,
    "refusals": refusals,
    "the bot that answers": lambda: bot("eco_bot.py"),
    "the bot that keeps": lambda: bot("diario_bot.py"),
    "the bot that joins rooms": lambda: bot("ponte_bot.py"),
    "what things cost": lambda: scale.measured(scale.Units.read()),
    "populations": lambda: scale.populations(scale.Units.read()),
    "limits of one stream": lambda: scale.limits(scale.Units.read()),
}


def renewed(text: str) -> str:
    """Return a document's text with each of its parts made anew."""
    i18n.use(LANGUAGE)
    return PART.sub(lambda found: found[1] + PARTS[found[2]]() + found[3], text)


def main(arguments: list[str]) -> int:
    """Renew the documents, or check them; return the exit code."""
    stale = []
    for name in DOCUMENTS:
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        new = renewed(text)
        if new == text:
            continue
        stale.append(name)
        if arguments != ["--check"]:
            path.write_text(new, encoding="utf-8")
    if arguments == ["--check"]:
        print("\n".join(f"{name} is not up to date; run make documents" for name in stale))
        return 1 if stale else 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
