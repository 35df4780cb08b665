"""The catalogues under `locale/`: collect what is to be translated, update, compile, check.

    python tools/catalogue.py           update every catalogue from the sources and compile it
    python tools/catalogue.py es        begin a catalogue for another language
    python tools/catalogue.py --check   say what is not up to date, and fail if anything is

A catalogue holds exactly the sentences of the sources, sorted, without dates and line numbers: it
changes when a sentence changes, and at no other time.
"""

from __future__ import annotations

import ast
import io
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
LOCALE_DIR = ROOT / "chat" / "locale"
OTHER_SOURCES = ("tools/argparse_strings.py", "tools/demo.py")
# How many sentences each of the functions in `language.py` takes.
KEYWORDS = {"_": 1, "N_": 1, "_n": 2}
# Where people count otherwise than CLDR has it: how many forms, and which one is for n. Brazilians
# say "0 pessoas", and CLDR's third form is for whole millions.
PLURAL_FORMS = {"pt_BR": (2, "(n != 1)")}
HEADER = "# {language} catalogue of the chat. To update it: make locale"


class PlainCatalog(Catalog):
    """A catalogue whose header says only what gettext needs: no dates, no program versions."""

    @property
    def mime_headers(self) -> list[tuple[str, str]]:
        """The header's fields (GNU gettext manual, "Filling in the Header Entry")."""
        return [
            ("Language", str(self.locale_identifier)),
            ("MIME-Version", "1.0"),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Transfer-Encoding", "8bit"),
            ("Plural-Forms", self.plural_forms),
        ]

    @property
    def num_plurals(self) -> int:
        """How many forms each plural is written with; Babel's own data may change with it."""
        return self._plurals()[0]

    @property
    def plural_expr(self) -> str:
        """Which of them is for n, as an expression of C (GNU gettext manual, "Plural forms")."""
        return self._plurals()[1]

    def _plurals(self) -> tuple[int, str]:
        ours = PLURAL_FORMS.get(str(self.locale_identifier))
        return ours or (super().num_plurals, super().plural_expr)


def sources() -> list[Path]:
    """Return the files that may speak to people: our programs, and what argparse says for us."""
    programs = [ROOT / "server.py", ROOT / "client.py", *(ROOT / "chat").rglob("*.py")]
    return sorted(programs) + [ROOT / name for name in OTHER_SOURCES]


def catalogue_paths() -> list[Path]:
    """Return the source of every catalogue there is."""
    return sorted(LOCALE_DIR.glob("*/LC_MESSAGES/chat.po"))


def sentences(source: Path) -> Iterator[str | tuple[str, str]]:
    """Yield what `source` marks for translation; a pair where it depends on a number."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            count = KEYWORDS.get(node.func.id, 0)
            texts = [part.value for part in node.args[:count] if isinstance(part, ast.Constant)]
            if count and len(texts) == count:
                yield str(texts[0]) if count == 1 else (str(texts[0]), str(texts[1]))


def merged(path: Path) -> PlainCatalog:
    """Return the catalogue that `path` should be: the sources' sentences, its translations."""
    language = path.parts[-3]
    old = read(path)
    header = HEADER.format(language=language)
    new = PlainCatalog(locale=language, header_comment=header, fuzzy=False)
    for source in sources():
        name = source.relative_to(ROOT).as_posix()
        for sentence in sentences(source):
            before = old.get(sentence)
            string = before.string if before is not None and not before.fuzzy else None
            # A line of no number: a sentence that moves in its file changes nothing here.
            new.add(sentence, string, locations=[(name, 0)])
    return new


def read(path: Path) -> Catalog:
    """Return the catalogue in `path`; an empty one if there is none yet."""
    if not path.exists():
        return Catalog(locale=path.parts[-3])
    with path.open("rb") as file:
        return read_po(file, locale=path.parts[-3])


def text_of(catalog: Catalog) -> bytes:
    """Return the catalogue as a .po file."""
    file = io.BytesIO()
    write_po(file, catalog, width=100, sort_output=True, include_lineno=False)
    return file.getvalue()


def compiled(catalog: Catalog) -> bytes:
    """Return the catalogue as a .mo file."""
    file = io.BytesIO()
    write_mo(file, catalog)
    return file.getvalue()


def is_translated(message: Message) -> bool:
    """Say whether the sentence has its translation, in every plural form."""
    strings = message.string
    return bool(strings) if isinstance(strings, str) else all(strings or [""])


def untranslated(catalog: Catalog) -> list[str]:
    """Return the sentences that have no translation yet."""
    return [str(message.id) for message in catalog if message.id and not is_translated(message)]


def update(path: Path) -> None:
    """Write the catalogue and its compiled form, and tell what is still to be translated."""
    catalog = merged(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text_of(catalog))
    path.with_suffix(".mo").write_bytes(compiled(catalog))
    missing = untranslated(catalog)
    print(
        f"{path.relative_to(LOCALE_DIR)}: {len(catalog)} sentences, {len(missing)} not translated"
    )
    for sentence in missing:
        print(f"  {sentence}")


def faults(path: Path) -> list[str]:
    """Return what is wrong with the catalogue, nothing if it is complete and up to date."""
    catalog = merged(path)
    name = path.relative_to(LOCALE_DIR)
    found = [f"{name}: not translated: {sentence}" for sentence in untranslated(catalog)]
    if path.read_bytes() != text_of(catalog):
        found.append(f"{name}: not what the sources say; run make locale")
    binary = path.with_suffix(".mo")
    if not binary.exists() or binary.read_bytes() != compiled(catalog):
        found.append(f"{name}: not compiled; run make locale")
    return found


def main(arguments: list[str]) -> int:
    """Update the catalogues, or check them; return the exit code."""
    if arguments == ["--check"]:
        found = [fault for path in catalogue_paths() for fault in faults(path)]
        print("\n".join(found) or "The catalogues are complete.")
        return 1 if found else 0
    begun = [LOCALE_DIR / language / "LC_MESSAGES" / "chat.po" for language in arguments]
    for path in sorted({*catalogue_paths(), *begun}):
        update(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
