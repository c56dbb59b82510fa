"""Write the generated reference pages: cli.md, config.md, options.md, hooks.md.

`python docs/generate.py` writes them, `python docs/generate.py --check` says which are out of date (exit code 1). Only
the core and the plugins of this repository are described, so all of them must be installed.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
PLUGINS = DOCS.parent / "plugins"
MARK = "<!-- Written by docs/generate.py from the program: change the docstrings there, then run `make docs`. -->"


def own_distributions() -> list[str]:
    """The core and the plugins of this repository. Exits when one of them is not installed or does not load."""
    names = ["anyclip"]
    for path in sorted(PLUGINS.glob("anyclip-*/pyproject.toml")):
        names += re.findall(r'^name = "([^"]+)"', path.read_text(), re.MULTILINE)[:1]
    os.environ["ANYCLIP_PLUGINS"] = ",".join(names)
    from anyclip.registry import get_registry

    bad = [f"{row.distribution}: {'; '.join(row.problems)}" for row in get_registry().rows if row.status != "ok"]
    if bad:
        sys.exit("\n".join(["these must be installed and load to describe them:", *bad]))
    return names


def table(headers: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """A Markdown table."""
    headers = list(headers)
    lines = ["| " + " | ".join(headers) + " |", "|" + " --- |" * len(headers)]
    for row in rows:
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |")
    return lines


def fields_table(fields: Iterable, prefix: str = "") -> list[str]:
    """Name, type, default and meaning of fields; nested ones under their dotted name."""

    def rows(fields: Iterable, prefix: str) -> Iterable[tuple[str, str, str, str]]:
        for f in fields:
            default = "**required**" if f.default is None else f"`{f.default}`"
            yield f"`{prefix}{f.name}`", f.type, default, f.doc
            yield from rows(f.inner, f"{prefix}{f.name}.")

    return table(("name", "type", "default", "meaning"), rows(fields, prefix))


def cli_page() -> list[str]:
    """The help of every command of the core."""
    import click

    from anyclip.cli.main import cli
    from anyclip.registry import get_registry

    def help_of(command: click.Command, name: str, parent: click.Context | None) -> list[str]:
        width = {"terminal_width": 100, "max_content_width": 100}
        context = click.Context(command, parent, name, **{**command.context_settings, **width})  # type: ignore[arg-type]
        lines = ["```text", *(line.rstrip() for line in command.get_help(context).splitlines()), "```"]
        commands = command.list_commands(context) if isinstance(command, click.Group) else []
        for sub in commands:
            if parent is None and registry.part("command", sub).distribution not in distributions:
                continue
            found: Any = command.get_command(context, sub)  # type: ignore[attr-defined]
            lines += ["", f"{'##' if parent is None else '###'} {context.command_path} {sub}", ""]
            lines += help_of(found, sub, context)
        return lines

    registry, distributions = get_registry(), own_distributions()
    lines = ["# Commands", "", MARK, "", *help_of(cli, "anyclip", None)]
    codes = (("0", "fine"), ("1", "a check found something"), ("2", "a mistake of the user, said without a traceback"))
    codes = (*codes, ("130", "stopped with Ctrl-C"), ("143", "stopped with SIGTERM"))
    return [*lines, "", "## Exit codes", "", *table(("code", "meaning"), codes)]


def config_page() -> list[str]:
    """Every key of a config."""
    from anyclip.config.describe import describe_dataclass
    from anyclip.config.schema import Config

    intro = (
        "One YAML file (YAML 1.2) is one run. Names are registry names (`anyclip plugins`), options of a part stand "
        "under `options:` (`anyclip options NAME`). `anyclip check CONFIG` names every mistake with its line. On the "
        "command line `key.path=value` replaces a value; list items go by their number: "
        "`objectives.0.loss.name=siglip`. In the tables `NAME` is a name of yours and `N` the number of a list item."
    )
    lines = ["# Config", "", MARK, "", intro]
    top = describe_dataclass(Config)
    lines += ["", *table(("key", "meaning"), ((f"`{f.name}`", f.doc) for f in top))]
    for section in top:
        lines += ["", f"## {section.name}", "", section.doc, ""]
        single = [section] if not section.inner else section.inner
        prefix = "" if not section.inner else f"{section.name}." + ("N." if section.type.startswith("list") else "")
        rows = list(_config_rows(single, prefix))
        lines += table(("key", "type", "default", "meaning"), rows)
    return lines


def _config_rows(fields: Iterable, prefix: str) -> Iterable[tuple[str, str, str, str]]:
    for f in fields:
        default = "**required**" if f.default is None else f"`{f.default}`"
        kind = re.sub(r"\{[^}]*\}", "mapping", f.type)
        yield f"`{prefix}{f.name}`", kind, default, f.doc
        place = "N." if f.type.startswith("list") else "NAME." if f.type.startswith("mapping of") else ""
        yield from _config_rows(f.inner, f"{prefix}{f.name}.{place}")


def options_page() -> list[str]:
    """Options of every registered part."""
    from anyclip.cli.plugins import plural
    from anyclip.config.describe import describe_dataclass, summary_of
    from anyclip.registry import get_registry
    from anyclip.specs import SPEC_TYPES

    lines = ["# Options of every part", "", MARK, "", "The same is printed by `anyclip options NAME`."]
    for kind in SPEC_TYPES:
        parts = get_registry().parts(kind) if kind != "command" else []
        if parts:
            lines += ["", f"## {plural(kind).capitalize()}"]
        for part in parts:
            lines += ["", f"### {part.spec.name}", "", f"{part.spec.summary}. From `{part.distribution}`."]
            cls = get_registry().options_class(kind, part.qualified)
            if kind == "modality":
                lines += ["", *_modality_lines(part.spec)]
            elif cls is None:
                lines += ["", "It takes no options."]
            else:
                about = [summary_of(cls), ""] if summary_of(cls) else []
                lines += ["", *about, *fields_table(describe_dataclass(cls))]
    return lines


def _modality_lines(spec) -> list[str]:
    suffixes = ", ".join(f"`{suffix}`" for suffix in spec.suffixes) or "none"
    value = "a plain string is the value itself" if spec.string_is_value else "a plain string is a path"
    return [f"File endings: {suffixes}. In a table {value}."]


def hooks_page() -> list[str]:
    """Each hook: when it fires, its arguments, the fields of its spec."""
    from anyclip import hookspecs
    from anyclip.config.describe import describe_dataclass
    from anyclip.hookspecs import HOOKS
    from anyclip.specs import SPEC_TYPES

    lines = ["# Hooks", "", MARK, "", *inspect.getdoc(hookspecs).splitlines()]  # type: ignore[union-attr]
    example = (
        "from anyclip.hookspecs import hookimpl",
        "from anyclip.specs import LossSpec",
        "",
        "@hookimpl",
        "def anyclip_losses():",
        '    yield LossSpec(name="mine", target="my_package.loss:Mine", summary="What it does in one line")',
    )
    lines += ["", "```python", *example, "```", "", "An entry point of the group `anyclip` names the module:", ""]
    lines += ["```toml", "[project.entry-points.anyclip]", 'mine = "my_package.plugin"', "```"]
    for hook, kind in HOOKS.items():
        function = getattr(hookspecs, hook)
        cls = SPEC_TYPES[kind]
        lines += ["", f"## {hook}", "", inspect.getdoc(function) or ""]
        lines += ["", f"Signature: `{hook}{_signature(function)}`; yields `{cls.__name__}`:", ""]
        about, meanings = spec_docs(cls)
        rows = [(f"`{f.name}`", f.type, _default_cell(f), meanings.get(f.name, "")) for f in describe_dataclass(cls)]
        lines += [about, "", *table(("field", "type", "default", "meaning"), rows)]
        for interface in INTERFACES.get(kind, ()):
            lines += ["", *interface_lines(interface)]
    return lines


# kind -> what its target is, and what that needs; a test compares with SPEC_TYPES
INTERFACES: dict[str, tuple[str, ...]] = {
    "modality": (),
    "tower": ("anyclip.towers:Tower", "anyclip.towers:Encoding", "anyclip.processors:Processor"),
    "loss": ("anyclip.losses.base:Loss",),
    "similarity": ("anyclip.similarities:Similarity",),
    "objective": ("anyclip.objectives:Objective", "anyclip.objectives:StepContext"),
    "reader": ("anyclip.readers:Reader",),
    "sampler": ("anyclip.data.data_sampler:DataSampler",),
    "evaluation": ("anyclip.evaluation.base:Evaluation", "anyclip.evaluation.base:Result"),
    "importer": ("anyclip.checkpoint.importing:Imported",),
    "command": (),
    "logger": ("anyclip.trainer.loggers:Logger",),
}


def interface_lines(target: str) -> list[str]:
    """A class that plugins subclass, fill or receive: what it is, and each public method with its arguments."""
    from anyclip.registry.registry import resolve

    cls = resolve(target)
    module = target.partition(":")[0]
    lines = [f"### {cls.__name__}", "", f"`{module}.{cls.__name__}`. " + own_doc(cls).replace("\n", "\n\n", 1), ""]
    for name, member in public_methods(cls):
        lines.append(f"* `{name}{_signature(member)}`: {' '.join(own_doc(member).split())}")
    return lines


def public_methods(cls: type) -> Iterable[tuple[str, Callable]]:
    """Methods that a class defines itself, without properties and special ones."""
    for name, member in vars(cls).items():
        function = getattr(member, "__func__", member)
        if inspect.isfunction(function) and (not name.startswith("_") or name in ("__getitem__", "__len__")):
            yield name, function


def own_doc(thing: object) -> str:
    return inspect.cleandoc(getattr(thing, "__doc__", None) or "")


def spec_docs(cls: type) -> tuple[str, dict[str, str]]:
    """What a spec's docstring says of all of it, and of each field (lines `a: meaning` or `a, b: meaning`)."""
    about, meanings = "", {}
    for owner in [c for c in reversed(cls.__mro__) if c is not object]:
        about, fields = "", []
        for line in (inspect.getdoc(owner) or "").splitlines():
            found = re.match(r"(\w+(?:, \w+)*): (.*)", line)
            if found:
                fields = found[1].split(", ")
                meanings |= dict.fromkeys(fields, found[2])
            elif fields and line.strip():
                meanings |= {field: f"{meanings[field]} {line.strip()}" for field in fields}
            else:
                about += f" {line.strip()}"
    return about.strip(), meanings


def _signature(function: Callable) -> str:
    return re.sub(r"'([^']*)'", r"\1", str(inspect.signature(function)).split(" ->")[0])


def _default_cell(f) -> str:
    return "**required**" if f.default is None else f"`{f.default}`"


def modality_table() -> list[str]:
    """The README's table: each official modality with its file endings, towers and importers."""
    from anyclip.registry import get_registry

    registry, rows = get_registry(), []
    for part in registry.parts("modality"):
        name = part.spec.name
        towers = [t.spec.name.partition("/")[2] for t in registry.parts("tower") if t.spec.name.startswith(f"{name}/")]
        if part.distribution == "anyclip":
            continue
        importers = [i.spec.name for i in registry.parts("importer") if i.distribution == part.distribution]
        endings = [suffix.lstrip(".") for suffix in part.spec.suffixes]
        shown = ", ".join(endings[:8]) + (" ..." if len(endings) > 8 else "")
        rows.append((f"`{name}`", part.distribution, shown, ", ".join(sorted(towers)), ", ".join(importers) or "-"))
    return table(("modality", "package", "files", "towers", "imports"), rows)


def readme() -> str:
    """README.md with its generated part as it should be."""
    text = (DOCS.parent / "README.md").read_text()
    begin, end = "<!-- modalities: written by docs/generate.py -->", "<!-- end -->"
    head, _, tail = text.partition(begin)
    return "\n".join([head + begin, "", *modality_table(), "", end + tail.partition(end)[2]])


PAGES = {"cli.md": cli_page, "config.md": config_page, "options.md": options_page, "hooks.md": hooks_page}


def main(arguments: list[str]) -> int:
    """Write the pages, or compare them (`--check`)."""
    own_distributions()
    stale = []
    for name, page in PAGES.items():
        text = re.sub(r"\n{3,}", "\n\n", "\n".join(page())).rstrip() + "\n"
        text = text.replace("\n\n@hookimpl", "\n\n\n@hookimpl")  # as the formatter wants it
        path = DOCS / name
        if "--check" not in arguments:
            path.write_text(text)
        elif not path.is_file() or path.read_text() != text:
            stale.append(f"docs/{name}")
    if "--check" not in arguments:
        (DOCS.parent / "README.md").write_text(readme())
    elif (DOCS.parent / "README.md").read_text() != readme():
        stale.append("README.md")
    if stale:
        print(f"out of date: {', '.join(stale)}. Run: python docs/generate.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
