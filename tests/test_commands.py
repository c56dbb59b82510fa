"""tests/commands.py is true: every command of every page has a test that exists, or a reason; what is wrong is said."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from commands import ENTRIES, Command, Entry, commands, every_command, main, problems

HERE = "tests/test_commands.py::test_every_command_is_run_or_has_a_reason"
OUTSIDE = ("examples/third_party", "docs/writing-a-plugin.md")  # parts of packages that are not installed here


def test_every_command_is_run_or_has_a_reason():
    found = every_command()
    assert len(found) > 100
    wrong = problems(found, ENTRIES)
    assert not wrong, "\n".join(wrong)


def test_the_table_names_every_command(capsys):
    assert main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(every_command())
    assert any(line.startswith("| README.md | `anyclip plugins` | `tests/test_readme.py::") for line in lines)


def test_commands_of_a_page():
    page = """
Run `make test`, not `make`, or `anyclip --help`.

    anyclip indented text is no command

1. First:
   ```
   anyclip train a.yaml \\
       b=1                  # a note
   what it prints
   ```
```bash
frobnicate x  # exit code 1
```
```python
anyclip = 1
```
```sh title="job.sh"
#SBATCH --nodes=4
srun anyclip train c.yaml
```
"""
    found = commands("p.md", page)
    assert [(c.text, c.bash) for c in found] == [
        ("anyclip train a.yaml b=1", False),
        ("frobnicate x", True),
        ("srun anyclip train c.yaml", False),
        ("make test", False),
        ("anyclip --help", False),
    ]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "README.md: `anyclip fly` has no entry"),
        ([Entry("docs/*.md", "anyclip fly", (HERE,))], "README.md: `anyclip fly` has no entry"),
        ([Entry("*", "anyclip *", (HERE,)), Entry("*", "make *", (HERE,))], "`make *` (*) stands in no page"),
        ([Entry("*", "anyclip fly", (HERE,)), Entry("*", "anyclip *", (HERE,))], "`anyclip *` (*) stands in no page"),
        ([Entry("*", "anyclip *", (f"{HERE}_at_all",))], "there is no test"),
        ([Entry("*", "anyclip *", ("tests/test_gone.py::test_x",))], "there is no test tests/test_gone.py::test_x"),
        ([Entry("*", "anyclip *")], "needs tests or a reason"),
        ([Entry("*", "anyclip *", (HERE,), reason="both")], "needs tests or a reason"),
        ([Entry("*", "anyclip *", (HERE,), bash=True)], "has no entry"),
    ],
)
def test_what_is_wrong_is_said(entries, message):
    assert any(message in line for line in problems([Command("README.md", "anyclip fly")], entries))
    assert not problems([Command("README.md", "anyclip fly")], [Entry("*.md", "anyclip *", (HERE,))])


def options_commands() -> list[str]:
    found = {
        c.text for c in every_command() if c.text.startswith("anyclip options ") and not c.page.startswith(OUTSIDE)
    }
    return sorted(text for text in found if not text.split()[-1].isupper())


@pytest.mark.parametrize("command", options_commands())
def test_options_of_every_part_in_a_page(command, anyclip_command):
    name = command.split()[-1]
    if "/" in name:
        pytest.importorskip(f"anyclip_{name.partition('/')[0]}")
    assert name in anyclip_command(*command.split()[1:])


def test_plugins_of_one_kind(anyclip_command):
    shown = anyclip_command("plugins", "modalities")
    assert "toy" in shown
    assert "infonce" not in shown
