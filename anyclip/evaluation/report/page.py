"""Put the sections of a report together and write the file."""

from __future__ import annotations

import re
from html import escape
from importlib.resources import files
from pathlib import Path

from anyclip.checkpoint import write_text_atomic
from anyclip.config import Config
from anyclip.evaluation.report import results as measured
from anyclip.evaluation.report import training
from anyclip.evaluation.report.content import Previews, RunContent

_SAFE = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; font-src data:"


def write_report(
    run_folder: str | Path, *, out: str | Path | None = None, results: Path | None = None, config: Config | None = None
) -> Path:
    """Write `report.html` of a run: one file that opens anywhere and asks nothing of the network.

    Shows what is there: a run without evaluations has curves only, a model folder numbers only. Values are read again
    from the validation data for thumbnails; those that moved are named instead.

    Args:
        out: default `RUN/report.html`. results: a file of `save_results`; default `RUN/eval/latest.json`.
        config: what the evaluation ran with, when it differs from the run's own.

    Raises CheckpointError when the folder holds no config.
    """
    folder = Path(run_folder)
    content = RunContent.read(folder, config=config, results=results)
    path = Path(out) if out is not None else folder / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomic(path, render(content))
    return path


def render(content: RunContent) -> str:
    """The whole page."""
    previews = Previews(content)
    sections = [
        ("Results", measured.number_tables(content.results) or _no_results(content)),
        ("Over the steps", training.metric_curves(content)),
        ("Training", training.curves(content)),
        ("Similarity", measured.matrices(content.results, previews)),
        ("Examples", measured.examples(content.results, previews)),
        ("Classes", measured.confusions(content.results)),
        ("Model", training.streams_table(content) + training.objectives_table(content)),
        ("Data", training.data_table(content)),
        ("Broken values", training.quarantine(content)),
        ("Settings", training.settings(content)),
    ]
    sections = [(title, body) for title, body in sections if body]
    links = "".join(f'<a href="#{_anchor(title)}">{escape(title)}</a>' for title, _ in sections)
    body = "".join(
        f'<section id="{_anchor(title)}"><h2>{escape(title)}</h2>{html}</section>' for title, html in sections
    )
    name = content.folder.resolve().name
    style = (files("anyclip.evaluation.report") / "style.css").read_text(encoding="utf-8")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_SAFE}">'
        f"<title>{escape(name)} · anyclip</title><style>{style}</style></head><body>"
        f'<header><h1>{escape(name)}</h1><p class="soft">{escape(_summary(content))}</p>'
        f"{measured.tiles(content.results)}"
        f"<nav aria-label='Sections'>{links}</nav></header><main>{body}</main></body></html>\n"
    )


def _summary(content: RunContent) -> str:
    config = content.config
    parts = [f"{' · '.join(config.model.towers)} in {config.model.dim} dimensions"]
    steps = max((r["step"] for r in content.records if isinstance(r.get("step"), int)), default=None)
    if steps is not None:
        parts.append(f"{steps:,} steps of {config.data.batch_size:,} samples")
    if content.step is not None and content.step != steps:
        parts.append(f"evaluated after step {content.step:,}")
    if content.versions.get("anyclip"):
        parts.append(f"anyclip {content.versions['anyclip']}")
    return ", ".join(parts)


def _no_results(content: RunContent) -> str:
    command = escape(f"anyclip eval {content.folder}")
    return f"<p>Nothing was evaluated yet: <code>{command}</code> measures and fills this page.</p>"


def _anchor(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower())
