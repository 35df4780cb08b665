"""What README.md and LEIAME.md take from the programs themselves: flags, refusals, a transcript.

    python tools/documents.py           write it anew
    python tools/documents.py --check   fail if what is written there is not what the programs say

A part begins with a line `<!-- made by tools/documents.py: NAME -->` and ends with `<!-- end -->`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import demo  # noqa: E402

from chat.cli import i18n as language  # noqa: E402
from chat.cli.i18n import _  # noqa: E402
from chat.client import commands  # noqa: E402
from chat.protocol import errors as rules  # noqa: E402
from chat.protocol.limits import DEFAULT_PORT  # noqa: E402

DOCUMENTS = {"README.md": "en", "LEIAME.md": "pt_BR"}
PART = re.compile(r"(<!-- made by tools/documents.py: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
FLAG = re.compile(r"^  (--[\w-]+)(?: \S+)?\s+(.+) \[(CHAT_\w+)(?:; (.*))?\]$", re.MULTILINE)
# What the client finds out by itself; no server sends these.
SAID_BY_CLIENT = ("NOT_A_CHAT", "PLAIN_SERVER", "CLOSED")
TOO_WIDE_TO_WRAP = "1000"
TIME_LIMIT_SECONDS = 120


def output_of(lang: str, *arguments: str) -> str:
    """Return what `python ARGUMENTS…` shows in the language `lang`, with no settings of ours."""
    settings = {"CHAT_LANG": lang, "COLUMNS": TOO_WIDE_TO_WRAP}
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


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    titles = list(head)
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def code(text: str) -> str:
    return f"`{text}`" if text else ""


def flags_of(program: str) -> Callable[[str], str]:
    """Return what makes the table of a program's flags, as its `--help` has them."""

    def part(lang: str) -> str:
        rows = [
            (code(flag), code(variable), code(default), text)
            for flag, text, variable, default in FLAG.findall(output_of(lang, program, "--help"))
        ]
        return table((_("flag"), _("variable"), _("default"), _("meaning")), rows)

    return part


def commands_of_client(lang: str) -> str:
    """Return the table of what can be typed after a slash, as `/ajuda` has it."""
    return commands.markdown()


def refusals(lang: str) -> str:
    """Return the table of what a server may refuse: reasons, statuses, and what they mean."""
    said_by_server = [reason for reason in rules.REASONS if reason not in SAID_BY_CLIENT]
    rows = [
        (code(reason), code(status_name(reason)), rules.explain(reason, reason))
        for reason in sorted(said_by_server, key=lambda reason: not rules.REASONS[reason].status)
    ]
    return table((_("reason"), _("status"), _("meaning")), rows)


def status_name(reason: str) -> str:
    """Return the status that a refusal ends a stream with, nothing for a mere notice."""
    return rules.REASONS[reason].status


def bot(lang: str) -> str:
    """Return the example bot."""
    return f"```python\n{(ROOT / 'examples/eco_bot.py').read_text(encoding='utf-8')}```\n"


def transcript(lang: str) -> str:
    """Return a conversation as it went, with the usual port in place of the one of this run."""
    conversation = output_of(lang, "tools/demo.py", "--pace", "0", "--lang", lang)
    port = rf"\b\d+(?={re.escape('...')}$)"
    usual = re.sub(port, str(DEFAULT_PORT), conversation, count=1, flags=re.MULTILINE)
    return f"```text\n{usual}```\n"


PARTS: dict[str, Callable[[str], str]] = {
    "flags of server.py": flags_of("server.py"),
    "flags of client.py": flags_of("client.py"),
    "commands": commands_of_client,
    "refusals": refusals,
    "the bot": bot,
    "a conversation": transcript,
}


def renewed(text: str, lang: str) -> str:
    """Return the document with each of its parts made anew."""
    language.use(lang)
    return PART.sub(lambda found: found[1] + PARTS[found[2]](lang) + found[3], text)


def main(arguments: list[str]) -> int:
    """Renew the documents, or check them; return the exit code."""
    stale = []
    for name, lang in DOCUMENTS.items():
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        new = renewed(text, lang)
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
