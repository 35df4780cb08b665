"""The packages that the programs can do without, and the line that says what they would bring.

`pip install grpcio grpcio-tools` is enough to run; `pip install -r requirements.txt` is better.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from chat.cli.i18n import _


def missing_line(features: Mapping[str, str]) -> str:
    """Return one line that says what is done without, empty where nothing is.

    `features`: for each module, what it brings, in the user's language.
    """
    missing = [feature for module, feature in features.items() if find_spec(module) is None]
    if not missing:
        return ""
    text = _("Running without {features}; `pip install -r requirements.txt` brings them.")
    return text.format(features=", ".join(dict.fromkeys(missing)))
