"""The sections of a report about the run itself: curves, data, quarantine, model, versions."""

from __future__ import annotations

from collections import defaultdict
from html import escape
from typing import Any

from anyclip.config import dump_config
from anyclip.evaluation.base import unit
from anyclip.evaluation.report.charts import Series, line_chart
from anyclip.evaluation.report.content import RunContent, describe_source
from anyclip.evaluation.report.tables import table


def curves(content: RunContent) -> str:
    """Loss, learning rate, scales, gradient norm and speed over the steps."""
    steps = [r for r in content.records if "loss" in r]
    if len(steps) < 2:
        return ""
    terms = _nested(steps, "terms")
    loss = [Series("loss", _points(steps, "loss"))] + (terms if len(terms) > 1 else [])
    scales = [s for s in _nested(steps, "scales") if not s.name.endswith(".bias")]
    charts = [
        line_chart("Loss", loss, smooth=10),
        line_chart("Learning rate", [Series("lr", _points(steps, "lr"))]),
        line_chart("Scale of the pair's scores", scales),
        line_chart("Gradient norm", [Series("norm", _points(steps, "grad_norm"))], smooth=10, log=True),
        line_chart("Samples per second", [Series("samples/s", _points(steps, "samples_per_s"))], smooth=10),
    ]
    return f'<div class="charts">{"".join(charts)}</div>'


def metric_curves(content: RunContent) -> str:
    """The evaluations' numbers over the steps, a chart for each direction."""
    points: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for record in content.records:
        for name, value in record.get("eval", {}).items():
            if isinstance(value, (int, float)):
                group, _, metric = name.rpartition("/")
                points[group][metric].append((record["step"], float(value)))
    charts = []
    for group, metrics in points.items():
        title = group.replace("->", " → ").replace("/", ": ", 1)
        several = {m: p for m, p in metrics.items() if len(p) > 1}
        shares, plain, ranks = (
            [Series(m.replace("_", " "), p) for m, p in several.items() if unit(m) == kind]
            for kind in ("share", "plain", "rank")
        )
        charts += [line_chart(title, shares, percent=True), line_chart(title, plain)]
        charts.append(line_chart(f"{title}, rank", ranks, log=True))
    charts = [chart for chart in charts if chart]
    return f'<div class="charts">{"".join(charts)}</div>' if charts else ""


def _points(records: list[dict[str, Any]], key: str) -> list[tuple[float, float]]:
    return [(r["step"], float(r[key])) for r in records if isinstance(r.get(key), (int, float))]


def _nested(records: list[dict[str, Any]], key: str) -> list[Series]:
    names = dict.fromkeys(name for r in records for name in r.get(key) or {})
    found = {n: [(r["step"], float(v)) for r in records if (v := (r.get(key) or {}).get(n)) is not None] for n in names}
    return [Series(name, points) for name, points in found.items()]


def streams_table(content: RunContent) -> str:
    """Towers, their parameters and what is frozen."""
    rows = []
    for stream, tower in content.config.model.towers.items():
        size = content.parameters.get(f"towers.{stream}")
        head = content.parameters.get(f"projections.{stream}")
        frozen = "frozen" if tower.freeze is True else "partly frozen" if tower.freeze else "trained"
        rows.append(
            (
                stream,
                tower.name or f"that of {tower.ref}",
                content.modality(stream) or "–",
                f"{size:,}" if size else "–",
                f"{head:,}" if head else "–",
                "shared" if tower.ref else frozen,
            )
        )
    return table(
        ("stream", "tower", "modality", "tower parameters", "projection parameters", "state"), rows, right=(3, 4)
    )


def objectives_table(content: RunContent) -> str:
    """The terms of the loss."""
    from anyclip.config import named

    rows = []
    for objective in content.config.objectives:
        what = " · ".join(objective.pair) if objective.pair else objective.name or ""
        loss = (objective.name if objective.pair else "–") if objective.name else named(objective.loss).name
        similarity = named(objective.similarity).name if objective.pair and not objective.name else "–"
        rows.append((what, loss, similarity, f"{objective.weight:g}"))
    return table(("pair or objective", "loss", "similarity", "weight"), rows, right=(3,)) if rows else ""


def data_table(content: RunContent) -> str:
    """Datasets of the config and their rows."""
    rows = []
    for split in ("train", "val"):
        for source in getattr(content.config.data, split):
            name, size = describe_source(source, content.config.base)
            fields = ", ".join(f"{k} from {v}" for k, v in source.fields.items()) or "by name"
            weight = f"{source.weight:g}" if split == "train" else "–"
            rows.append((split, name, size, fields, weight))
    return table(("split", "dataset", "rows", "columns", "weight"), rows, right=(2, 4)) if rows else ""


def quarantine(content: RunContent) -> str:
    """Values that could not be used, by reason, and the first of them."""
    if not content.quarantine:
        return "<p>No broken value was met.</p>"
    counts = [(d, s, reason, f"{n:,}") for d, s, reason, n in content.quarantine_counts()[:20]]
    first = [
        tuple(str(q.get(key, "")) for key in ("dataset", "sample", "stream", "reason")) for q in content.quarantine[:30]
    ]
    return (
        f"<p>{len(content.quarantine):,} entries in <code>quarantine.jsonl</code>: those rows lacked the stream, "
        "nothing else was changed.</p>"
        + table(("dataset", "stream", "reason", "count"), counts, right=(3,))
        + f"<details><summary>The first {len(first)}</summary>"
        + table(("dataset", "sample", "stream", "reason"), first)
        + "</details>"
    )


def settings(content: RunContent) -> str:
    """The resolved config and the versions."""
    versions = [(name, str(version)) for name, version in content.versions.items()]
    shown = table(("package", "version"), versions) if versions else ""
    return (
        f"<details><summary>Resolved config</summary><pre>{escape(dump_config(content.config))}</pre></details>{shown}"
    )
