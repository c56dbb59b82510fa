"""Sentences that stand for classes: templates with a place for the name, and files of sentences of each class."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anyclip.errors import UserError


def filled(templates: Sequence[str], names: Sequence[str]) -> list[list[str]]:
    """Each class's sentences: its name, underscores as spaces, in the place of `{}` of every template."""
    spoken = [name.replace("_", " ") for name in names]
    return [[template.replace("{}", name) for template in templates] for name in spoken]


def read_prompts(path: Path, names: Sequence[str]) -> list[list[str]]:
    """Each class's sentences from a JSON object: class -> list of sentences, as language models write them.

    Raises UserError for a file that cannot be read or has no sentence for a class.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"the prompts cannot be read: {error}.", where=str(path)) from error
    wrong = not isinstance(table, dict) or [k for k, v in table.items() if not _sentences(v)]
    if wrong:
        raise UserError("prompts are a JSON object: class -> list of sentences.", where=str(path))
    missing = [name for name in names if name not in table]
    if missing:
        shown = ", ".join(missing[:5]) + (" ..." if len(missing) > 5 else "")
        raise UserError(f"no prompts for {len(missing)} classes: {shown}.", where=str(path))
    return [table[name] for name in names]


def _sentences(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(s, str) and s.strip() for s in value)
