"""docs/writing-a-plugin.md: every file is written, every change made and every command run, in order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "writing-a-plugin.md"
BLOCK = re.compile(r'^```(\w+)(?: title="(\S+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str, str]]:
    """(language, file, content) of each fenced block."""
    return BLOCK.findall(PAGE.read_text())


@pytest.mark.slow
def test_the_tutorial_runs_from_the_first_line_to_the_last(outside, tmp_path):
    printed = ""
    for language, name, content in blocks():
        path = tmp_path / name if name else None
        if language == "bash":
            printed = "".join(_run(outside, line, tmp_path) for line in content.splitlines())
        elif language == "text":
            for line in content.splitlines():
                assert " ".join(line.split()) in " ".join(printed.split()), f"{line!r} was not printed:\n{printed}"
        elif language == "diff":
            _change(path, content)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)


def _run(outside, line: str, folder: Path) -> str:
    command, _, note = line.partition("   # ")
    code = re.fullmatch(r"exit code (\d+)", note)
    return outside.run(command, cwd=folder, code=int(code[1]) if code else 0, errors=True)


def _change(path: Path, content: str) -> None:
    """Replace the lines marked - by those marked +."""
    old, new = ("".join(f"{x[1:]}\n" for x in content.splitlines() if x[0] == sign) for sign in "-+")
    text = path.read_text()
    assert text.count(old) == 1, f"{path.name} does not hold once:\n{old}"
    path.write_text(text.replace(old, new))


def test_a_minimal_tower_plugin_is_sixty_lines_or_fewer():
    """Lines that are not blank: all the files of the first section, pyproject and test included."""
    first = PAGE.read_text().partition("## 2.")[0]
    files: dict[str, list[str]] = {}
    for language, name, content in BLOCK.findall(first):
        lines = [line for line in content.splitlines() if line.strip()]
        if language in ("toml", "python"):
            files[name] = lines
        elif language == "diff":
            files[name] = [line for line in files[name] if f"-{line}" not in lines]
            files[name] += [line[1:] for line in lines if line[0] == "+"]
    counts = {name: len(lines) for name, lines in files.items()}
    own = sum(n for name, n in counts.items() if name.startswith("anyclip_pulse"))
    assert own <= 60, counts
    print(f"{counts}: package {own}, with pyproject and test {sum(counts.values())}")
