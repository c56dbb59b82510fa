"""Every command that a page shows, and the test that runs it.

`python tests/commands.py` prints the list as a Markdown table; tests/test_commands.py keeps it true. A new command in a
page needs an entry here, a test, or a reason why none can run it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "docs/*.md", "examples/**/*.md", "plugins/*/README.md")
_START = re.compile(r"(?:anyclip|apt-get|cd|git|make|pip|printf|pytest|python|source|srun|torchrun) \S")
_SHELL = ("", "bash", "sh", "console")


def _like(pattern: str, text: str, star: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", star), text) is not None


@dataclass(frozen=True)
class Command:
    """A command as a page shows it, on one line and without its comment. bash: it stands in a block of that language,
    which holds nothing but commands.
    """

    page: str
    text: str
    bash: bool = False


@dataclass(frozen=True)
class Entry:
    """Commands and who runs them.

    page, command: patterns in which `*` stands for anything, in a page but for `/` (`*` alone: every page); the first
    entry that fits a command counts. tests: `FILE::FUNCTION` of those that run it, or the same command on other files.
    reason: why none does. bash: only commands of bash blocks, for pages that are run from the first block to the last.
    """

    page: str
    command: str
    tests: tuple[str, ...] = ()
    reason: str = ""
    bash: bool = False

    def fits(self, command: Command) -> bool:
        page = self.page == "*" or _like(self.page, command.page, "[^/]*")
        return page and command.bash >= self.bash and _like(self.command, command.text, ".*")


_PAGE = "tests/test_example_pages.py::test_page"
_README = "tests/test_readme.py::test_commands_run_in_order"
_TUTORIAL = "tests/testing/test_tutorial.py::test_the_tutorial_runs_from_the_first_line_to_the_last"
_OUTSIDE = "tests/testing/test_examples.py::test_the_commands_of_its_page_run"
_EVAL = "tests/evaluation/test_eval_command.py"
_IMAGE, _AUDIO = "plugins/anyclip-image/tests/test_importers.py", "plugins/anyclip-audio/tests/test_importers.py"
_MORE, _VIDEO = (
    "plugins/anyclip-audio/tests/test_importers_more.py",
    "plugins/anyclip-video/tests/test_video_importers.py",
)
_IMPORT = f"{_IMAGE}::test_command"
_FETCHES = "installs from the package index or the system's; tests run without a network, on what is installed"
_MACHINE = "prepares a folder or a machine; tests run where that is done"

ENTRIES = (
    # pages that a test runs whole
    Entry("examples/*.md", "*", (_PAGE,), bash=True),
    Entry("docs/writing-a-plugin.md", "*", (_TUTORIAL,), bash=True),
    Entry("README.md", "anyclip import *", (_IMPORT,)),
    Entry("README.md", "anyclip *", (_README,)),
    Entry("examples/third_party_*/README.md", "anyclip *", (_OUTSIDE,)),
    Entry(
        "examples/real_five/README.md",
        "python *",
        reason="fetches 400 MB and needs fluidsynth; tests/test_real_five.py imitates it",
    ),
    Entry("examples/real_five/README.md", "anyclip train *", reason="needs the data that prepare.py fetches"),
    Entry("examples/real_five/README.md", "anyclip eval runs/*", reason="needs the run before it"),
    # machines
    Entry("*", "git clone *", reason=_MACHINE),
    Entry("*", "source *", reason=_MACHINE),
    Entry("*", "pip install *", reason=_FETCHES),
    Entry("*", "apt-get install *", reason=_FETCHES),
    Entry("*", "make docs", ("tests/cli/test_docs.py::test_pages_are_up_to_date",)),
    Entry("*", "make *", reason=f"installs first; tests/test_readme.py sees that the target is there ({_MACHINE})"),
    Entry("*", "srun *", reason="needs a cluster; test_page checks the script's syntax"),
    Entry("*", "torchrun --nnodes 2 *", reason="needs two machines; examples/many-gpus.md does it on one"),
    # the commands themselves, as prose names them
    Entry("*", "anyclip plugins", ("tests/registry/test_bad_plugins.py::test_the_table_shows_every_reason",)),
    Entry("*", "anyclip plugins modalities", ("tests/test_commands.py::test_plugins_of_one_kind",)),
    Entry("*", "anyclip options*", ("tests/test_commands.py::test_options_of_every_part_in_a_page",)),
    Entry("*", "anyclip check", ("tests/cli/test_config_commands.py::test_check",)),
    Entry("*", "anyclip check CONFIG", ("tests/cli/test_config_commands.py::test_check",)),
    Entry("*", "anyclip plan", ("tests/cli/test_config_commands.py::test_plan",)),
    Entry("*", "anyclip embed", ("tests/api/test_embed_search.py::test_manifest_rows",)),
    Entry("*", "anyclip eval", (f"{_EVAL}::test_table_files_and_report",)),
    Entry("*", "anyclip eval CONFIG", (f"{_EVAL}::test_a_config_is_evaluated_with_its_first_weights",)),
    Entry("*", "anyclip demo *", ("tests/browser/test_demo.py::test_text_finds_pictures_and_texts",)),
    Entry("*", "anyclip doctor", ("tests/cli/test_doctor.py::test_one_process_is_exact",)),
    Entry("*", "torchrun * doctor", ("tests/cli/test_doctor.py::test_under_a_launcher_its_processes_are_used",)),
    Entry("*", "anyclip new-plugin *", ("tests/testing/test_new_plugin.py::test_a_copy_works_at_once",)),
    Entry(
        "*",
        "pytest --conformance *",
        ("tests/testing/test_contracts.py::test_an_installed_package_is_tried_without_test_code",),
    ),
    Entry("*", "pytest plugins/*", reason="the tests themselves"),
    Entry("*", "python -m build", reason=_FETCHES),
    Entry("*", "anyclip import", (_IMPORT,)),
    # training
    Entry(
        "*", "anyclip train * --resume", ("tests/trainer/test_command.py::test_a_run_folder_is_resumed_where_it_lies",)
    ),
    Entry(
        "docs/training.md", "anyclip train configs/image-text.yaml *", ("tests/test_configs.py::test_config_trains",)
    ),
    Entry(
        "docs/distributed.md",
        "anyclip train run.yaml *",
        ("tests/trainer/test_processes.py::test_two_processes_from_one_command_equal_one",),
    ),
    # published checkpoints: each layout has its test, `anyclip import` has one
    Entry("docs/importing.md", "anyclip import openai-clip *", (f"{_IMAGE}::test_openai_state_dict", _IMPORT)),
    Entry("docs/importing.md", "anyclip import open-clip *", (_IMPORT,)),
    Entry("docs/importing.md", "anyclip import transformers-clip *", (f"{_IMAGE}::test_transformers_clip", _IMPORT)),
    Entry(
        "docs/importing.md", "anyclip import transformers-siglip *", (f"{_IMAGE}::test_transformers_siglip", _IMPORT)
    ),
    Entry("docs/importing.md", "anyclip import laion-clap *", (f"{_AUDIO}::test_laion_clap", _IMPORT)),
    Entry("docs/importing.md", "anyclip import msclap *", (f"{_AUDIO}::test_msclap_2023_ends_its_texts", _IMPORT)),
    Entry("docs/importing.md", "anyclip import audioclip *", (f"{_MORE}::test_audioclip", _IMPORT)),
    Entry("docs/importing.md", "anyclip import wav2clip *", (f"{_MORE}::test_wav2clip_with_its_clip", _IMPORT)),
    Entry(
        "docs/importing.md",
        "anyclip import clip4clip *bin*",
        (f"{_VIDEO}::test_a_trained_checkpoint_tells_its_head", _IMPORT),
    ),
    Entry(
        "docs/importing.md",
        "anyclip import clip4clip * -o head=*",
        (f"{_VIDEO}::test_a_start_from_clip_and_the_way_back", _IMPORT),
    ),
    Entry(
        "plugins/anyclip-audio/README.md", "anyclip import *", (f"{_AUDIO}::test_laion_clap", f"{_MORE}::test_command")
    ),
    Entry(
        "docs/audio.md",
        "anyclip eval *esc50*",
        ("plugins/anyclip-audio/tests/test_layouts.py::test_class_prompts_over_a_fold",),
    ),
    # measuring
    Entry("*", "python benchmarks/loss.py", reason="gigabytes and minutes; tests/losses/test_tiled.py has the values"),
    Entry("*", "python benchmarks/*", ("tests/test_benchmarks.py::test_a_small_measurement",)),
    Entry("*", "python tests/parity.py *", ("tests/test_parity.py::test_a_folder_of_the_format_passes",)),
    Entry(
        "*",
        "python -m anyclip.testing.exactness_parts",
        ("tests/step/test_exactness_parts.py::test_the_command_prints_the_table",),
    ),
    Entry("*", "anyclip conformance*", ("tests/testing/test_conformance.py::test_a_part_that_passes",)),
)


def pages(root: Path = ROOT) -> list[Path]:
    return [path for pattern in PAGES for path in sorted(root.glob(pattern))]


def commands(page: str, text: str) -> list[Command]:
    """Those of fenced shell blocks, and inline code that begins with a program; each once."""
    found: dict[str, Command] = {}
    rest: list[str] = []
    for language, block in _blocks(text):
        if language is None:
            rest.append(block)
        elif language in _SHELL:
            for line in _logical_lines(block):
                if language == "bash" or _START.match(line):
                    found.setdefault(line, Command(page, line, bash=language == "bash"))
    for inline in re.findall(r"`([^`\n]+)`", "\n".join(rest)):
        if _START.match(inline):
            found.setdefault(inline, Command(page, inline))
    return list(found.values())


def _blocks(text: str) -> Iterator[tuple[str | None, str]]:
    """(language, content) of fenced blocks, and (None, line) of all other lines."""
    language, lines = None, []
    for line in text.splitlines():
        fence = re.match(r" *```(\w*)", line)
        if fence is None:
            if language is None:
                yield None, line
            lines.append(line.strip())
        elif language is None:
            language, lines = fence[1], []
        else:
            yield language, "\n".join(lines)
            language = None


def _logical_lines(block: str) -> list[str]:
    lines = re.sub(r"\s*\\\n\s*", " ", block).splitlines()
    plain = (re.sub(r"(?:^|\s+)#(?: .*|!.*|SBATCH.*)?$", "", line).strip() for line in lines)
    return [line for line in plain if line]


def every_command(root: Path = ROOT) -> list[Command]:
    return [c for path in pages(root) for c in commands(path.relative_to(root).as_posix(), path.read_text())]


def entry_of(command: Command, entries: Sequence[Entry]) -> Entry | None:
    return next((entry for entry in entries if entry.fits(command)), None)


def problems(found: Sequence[Command], entries: Sequence[Entry], root: Path = ROOT) -> list[str]:
    """What is wrong with the list, a sentence each."""
    wrong, used = [], set()
    for command in found:
        entry = entry_of(command, entries)
        if entry is None:
            wrong.append(f"{command.page}: `{command.text}` has no entry in tests/commands.py")
        else:
            used.add(entry)
    wrong += [f"`{e.command}` ({e.page}) stands in no page" for e in entries if e not in used]
    for entry in entries:
        if bool(entry.tests) == bool(entry.reason):
            wrong.append(f"`{entry.command}` ({entry.page}) needs tests or a reason, one of the two")
        wrong += [f"`{entry.command}`: there is no test {test}" for test in entry.tests if not _exists(test, root)]
    return wrong


def _exists(test: str, root: Path) -> bool:
    file, _, name = test.partition("::")
    path = root / file
    return path.is_file() and re.search(rf"^def {re.escape(name)}\(", path.read_text(), re.MULTILINE) is not None


def table(found: Sequence[Command], entries: Sequence[Entry]) -> str:
    lines = ["| page | command | test, or why none runs it |", "| --- | --- | --- |"]
    for command in found:
        entry = entry_of(command, entries)
        told = "**no entry**" if entry is None else ", ".join(f"`{t}`" for t in entry.tests) or entry.reason
        lines.append(f"| {command.page} | `{command.text.replace('|', chr(92) + '|')}` | {told} |")
    return "\n".join(lines)


def main() -> int:
    found = every_command()
    print(table(found, ENTRIES))
    wrong = problems(found, ENTRIES)
    print("\n".join(wrong), file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
