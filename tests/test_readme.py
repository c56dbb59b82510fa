"""Every command of the README is run, on small data; those that install or need several machines are named here."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()

# set-up of a machine: CI runs `make test`; `make quickstart` is the same commands as "First run" below
NOT_RUN = ("git clone", "make ", "pip install", "source ", "cd ")
PAGES = re.findall(r"\]\((docs/[^)#]+|[A-Z]+\.md)\)", README)


def blocks(language: str = "") -> list[str]:
    """Fenced blocks of a language, in order, with the indentation of list items taken off."""
    found, lines = [], None
    for line in README.splitlines():
        fence = re.match(r"( *)```(\w*)$", line)
        if fence and lines is None:
            indent, kind, lines = len(fence[1]), fence[2], []
        elif fence:
            if kind == language:
                found.append("\n".join(lines))
            lines = None
        elif lines is not None:
            lines.append(line[indent:])
    return found


def commands() -> list[str]:
    lines = [line for block in blocks() for line in block.replace("\\\n", " ").splitlines()]
    inline = re.findall(r"`(anyclip [^`]+)`", README)
    return [re.sub(r"\s+#.*", "", line).strip() for line in [*lines, *inline] if line.strip()]


def test_every_block_is_run_or_known():
    known = ("anyclip ", "python ", "image,text", "photos/", *NOT_RUN)
    assert not [line for line in commands() if not line.startswith(known)]


@pytest.mark.parametrize("page", sorted(set(PAGES)))
def test_pages_exist(page: str):
    assert (ROOT / page).is_file()


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"\bmake ([a-z]+)", README + (ROOT / "CONTRIBUTING.md").read_text())):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"


def test_config_block_is_valid(tmp_path: Path, anyclip_command):
    (tmp_path / "readme.yaml").write_text(blocks("yaml")[0])
    assert "fine" in anyclip_command("check", str(tmp_path / "readme.yaml"))


def test_commands_run_in_order(tmp_path: Path, monkeypatch, picture_table, anyclip_command):
    """The first run, training on files, embed, search and the Python lines, in one folder as a reader would."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    picture_table(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    quick = ["train.epochs=null", "train.steps=2", "schedule.warmup_steps=0", "train.validate_every=null"]
    quick += ["data.batch_size=8", "data.workers=0", "train.threads=1"]
    synthetic = ["data.train.0.options.size=16", "data.val.0.options.size=16"]
    done = []
    for line in commands():
        words = shlex.split(line.replace("$PWD", str(tmp_path)))
        if words[0] != "anyclip" or words[1] in ("import", "demo"):  # tests of their own
            continue
        if words[1] == "train":
            words += [*quick, *(synthetic if "quickstart" in line else []), "--overwrite"]
        anyclip_command(*words[1:])
        done.append(words[1])
    assert {"plugins", "check", "plan", "train", "eval", "embed", "search", "push", "export"} <= set(done)
    values: dict = {}
    exec(compile(blocks("python")[0], "README.md", "exec"), values)
    assert values["model"].similarity(image=["photos/1.jpg"], text=["a dog", "a boat"]).shape == (1, 2)
