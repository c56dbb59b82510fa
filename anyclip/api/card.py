"""The model card of a run: what the model is, how to use it, what was measured. Written from the run alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from anyclip.checkpoint import RunFolder
from anyclip.config import named
from anyclip.evaluation.base import Result, show
from anyclip.evaluation.run import load_results

if TYPE_CHECKING:
    from anyclip.api.model import Model


def model_card(model: Model, name: str, run: Path | None = None) -> str:
    """Markdown with the front matter that the hub reads.

    name: address or name of the model. run: the run folder, for its evaluations and versions. Paths of data are not
    written: only the kind of every dataset.
    """
    step, results = None, []
    if run is not None and (run / "eval" / "latest.json").is_file():
        step, results = load_results(run / "eval" / "latest.json")
    parts = [_front_matter(model), f"# {name.rpartition('/')[2]}", _about(model), _use(model, name)]
    parts += [_training(model), _numbers(results, step), _versions(run)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(model: Model) -> str:
    tags = ["anyclip", "contrastive-learning", *sorted(set(model.modalities.values()))]
    lines = ["library_name: anyclip", "pipeline_tag: feature-extraction", "tags:", *(f"- {tag}" for tag in tags)]
    return "\n".join(["---", *lines, "---"])


def _about(model: Model) -> str:
    rows = ["| stream | modality | tower | parameters | projection |", "| --- | --- | --- | ---: | --- |"]
    for stream in model.streams:
        config = model.config.model.towers[stream]
        tower = f"`{config.name}`" if config.name else f"shared with `{config.ref}`"
        count = sum(p.numel() for p in model.joint.tower(stream).parameters())
        kind = config.projection if isinstance(config.projection, str) else config.projection.name
        rows.append(f"| {stream} | {model.modalities[stream]} | {tower} | {count:,} | {kind} |")
    return f"A joint embedding space of {model.dim} numbers, trained with anyclip.\n\n" + "\n".join(rows)


def _use(model: Model, name: str) -> str:
    packages = sorted({f"anyclip-{modality}" for modality in model.modalities.values()})
    values = ", ".join(f"{stream}=[...]" for stream in model.streams)
    return f"""## Use

```
pip install anyclip {" ".join(packages)}
```
```python
import anyclip

model = anyclip.load("{name}")
model.embed({values})  # {{stream: [values, {model.dim}]}}, unit length
```"""


def _training(model: Model) -> str:
    config = model.config
    lines = []
    for objective in config.objectives:
        loss = named(objective.loss).name if objective.loss else objective.name
        what = f"`{loss}` on {' and '.join(objective.pair)}" if objective.pair else f"`{loss}`"
        lines.append(f"* {what}, weight {objective.weight:g}")
    kinds = ", ".join(sorted({source.name for source in config.data.train})) or "unknown"
    length = f"{config.train.steps:,} steps, " if config.train.steps else ""
    rate = f"{config.optimizer.name}, learning rate {config.optimizer.lr:g}"
    more = f"Global batch {config.data.batch_size}, {length}{rate}."
    return "## Training\n\n" + "\n".join(lines) + f"\n\n{more} Data: {kinds}."


def _numbers(results: list[Result], step: int | None) -> str:
    if not results:
        return "## Evaluation\n\nNothing was measured."
    rows = ["| evaluation | metric | value | 95 % interval | chance |", "| --- | --- | ---: | ---: | ---: |"]
    for result in results:
        for metric, value in result.numbers.items():
            low_high = result.intervals.get(metric)
            spread = f"{show(metric, low_high[0])} to {show(metric, low_high[1])}" if low_high else ""
            chance = result.chance.get(metric)
            rows.append(
                f"| {result.name} | {metric} | {show(metric, value)} | {spread} | "
                f"{'' if chance is None else show(metric, chance)} |"
            )
    return f"## Evaluation\n\nAfter {step or 0:,} steps.\n\n" + "\n".join(rows)


def _versions(run: Path | None) -> str:
    path = RunFolder(run).versions if run else None
    if path is None or not path.is_file():
        return ""
    found = json.loads(path.read_text())
    return "## Made with\n\n" + ", ".join(f"{name} {version}" for name, version in found.items())
