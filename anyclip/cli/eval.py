"""`anyclip eval RUN`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anyclip.cli.untrained import first_weights, is_config
from anyclip.config import load_config
from anyclip.config.schema import EvalConfig
from anyclip.errors import UserError
from anyclip.evaluation.base import show, unit

if TYPE_CHECKING:
    from anyclip.evaluation import Result


@click.command("eval")
@click.argument("run", type=click.Path())
@click.argument("overrides", nargs=-1)
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps, or auto.")
@click.option("--out", type=click.Path(file_okay=False), help="Where to write eval/ and report.html. Default: the run.")
@click.option("--no-report", is_flag=True, help="Write the numbers only.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def command(run: str, overrides: tuple[str, ...], device: str, out: str | None, no_report: bool, as_json: bool) -> int:
    """Evaluate a run, a checkpoint, a model folder or a config and write its report.

    OVERRIDES are key.path=value over the run's config, such as data.val.0.options.path=other.jsonl. Without `eval` in
    the config: retrieval between every two streams of the validation data, trained or not, and the gaps between them.
    Results go to eval/step-....json in the run. A config is evaluated with its first weights (`pretrained`, `init`),
    without training; its model goes to --out, by default runs/<name of the config>.
    """
    from anyclip.api.loading import load
    from anyclip.checkpoint import find_weights, open_similarities
    from anyclip.evaluation import run_evaluations, save_results

    if is_config(run):
        run, out = first_weights(run, overrides, out), None
    root, weights = find_weights(run)
    trained, config = load_config(root / "config.yaml"), load_config(root / "config.yaml", overrides)
    config.eval = config.eval or [EvalConfig(), EvalConfig(name="modality_gap")]
    model = load(run, device=device)
    similarities = {k: s.to(model.device) for k, s in open_similarities(run, model.joint, trained).items()}
    results = run_evaluations(model.joint, config, similarities=similarities)
    folder = Path(out) if out else root
    saved = save_results(folder, results, step=_step(weights))
    report = None
    if not no_report:
        from anyclip.evaluation.report import write_report

        report = write_report(root, out=folder / "report.html", results=saved, config=config)
    if as_json:
        click.echo(json.dumps(json.loads(saved.read_text()), indent=1))
        return 0
    show_results(results)
    click.echo(f"{saved}" + (f"\n{report}" if report else ""), err=True)
    return 0


def _step(weights: Path) -> int | None:
    name = weights.name
    return int(name.removeprefix("step-")) if name.startswith("step-") and name[5:].isdecimal() else None


def show_results(results: list[Result]) -> None:
    """Print every number with its interval and what chance would give."""
    from anyclip.cli.output import print_table

    rows: list[tuple[str, ...]] = []
    for result in results:
        for name, value in result.numbers.items():
            told = show(name, value), interval(result, name), chance(result, name)
            rows.append((result.name, name, *told, trained(result, name)))
    if not rows:
        raise UserError(
            "nothing was measured.", hint="The validation data holds no rows with two streams of the model."
        )
    print_table(("evaluation", "metric", "value", "95 %", "chance", "trained"), rows, right=(2, 3, 4))


def trained(result: Any, name: str) -> str:
    """Whether the pair of a metric was trained; for an emergent pair what binds it."""
    label = name.rpartition("/")[0]
    found, through = (
        value.get(label) if isinstance(value, dict) else value
        for value in (result.info.get("trained"), result.info.get("through"))
    )
    if found is None:
        return ""
    return "yes" if found else f"no, through {', '.join(through)}" if through else "no"


def interval(result: Any, name: str) -> str:
    if name not in result.intervals:
        return ""
    low, high = result.intervals[name]
    if unit(name) == "plain":
        return f"{low:.3f}-{high:.3f}"
    return f"{low:.1f}-{high:.1f}" if unit(name) == "rank" else f"{100 * low:.1f}-{100 * high:.1f}"


def chance(result: Any, name: str) -> str:
    return show(name, result.chance[name]) if name in result.chance else ""
