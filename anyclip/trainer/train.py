"""A training run from beginning to end: set up, fit, validate, report."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from anyclip.checkpoint import RunFolder
from anyclip.config import Config, check_trainable
from anyclip.evaluation.report import write_report
from anyclip.trainer.agree import on_main, shared, together
from anyclip.trainer.checkpoints import load_checkpoint, save_assets
from anyclip.trainer.fit import fit
from anyclip.trainer.launch import launched
from anyclip.trainer.loggers import create_loggers
from anyclip.trainer.metrics import MetricsFile, read_metrics
from anyclip.trainer.progress import Display, create_display
from anyclip.trainer.resume import begin, check_checkpoint, go_on
from anyclip.trainer.session import Session, build_session
from anyclip.trainer.signals import StopSignals
from anyclip.trainer.validate import validate


def train(
    config: Config, *, resume: bool = False, overwrite: bool = False, quiet: bool = False, json: bool = False
) -> Path:
    """Train as `config` says; returns the run folder.

    resume: go on in the run folder from its latest checkpoint. overwrite: delete a run that is there. quiet: show
    nothing; json: every record as a JSON line on stdout.
    Raises UserError for what cannot work, and Stopped after SIGINT or SIGTERM once a checkpoint is written.
    """
    check_trainable(config)
    folder = RunFolder(Path(config.train.out or "runs/run"))
    with launched(config.train) as fabric:
        main = fabric.is_global_zero
        display = create_display("json" if json else "quiet" if quiet else "auto") if main else Display()
        if resume:
            checkpoint, notes = shared(fabric, lambda: go_on(config, folder))
        else:
            on_main(fabric, lambda: begin(config, folder, overwrite=overwrite))
            checkpoint, notes = None, []
        session = build_session(config, folder, fabric, display, checkpoint=checkpoint)
        try:
            notes += open_run(session, checkpoint)
            run(session, notes)
        finally:
            display.close()
            session.close()
    return folder.path


def open_run(session: Session, checkpoint: Path | None) -> list[str]:
    """Load the checkpoint, or write what is written once; open metrics and loggers. Returns things to know."""
    fabric, folder = session.fabric, session.folder
    notes: list[str] = []
    if checkpoint is not None:
        fingerprint, world = session.data.fingerprint(), fabric.world_size
        notes = on_main(fabric, lambda: check_checkpoint(checkpoint, fingerprint, world)) or []
        session.state = together(fabric, lambda: load_checkpoint(session, checkpoint))
        session.saved = session.state.step
        session.logged_samples = session.state.samples
    else:
        on_main(fabric, lambda: save_assets(folder, session.model.save_assets))
    on_main(fabric, lambda: open_records(session))
    return notes


def open_records(session: Session) -> None:
    """metrics.jsonl without what a resumed run writes again, and the loggers (first process)."""
    step = session.state.step
    session.metrics = MetricsFile(session.folder.metrics, keep_until=step if session.saved >= 0 else None)
    names, config = session.config.train.loggers, asdict(session.config)
    session.loggers = tuple(create_loggers(names, session.folder.path, config, start=step))


def run(session: Session, notes: list[str]) -> None:
    """Fit, validate at the end, write the report, say what came out."""
    display, state = session.display, session.state
    for note in notes:
        display.note(note)
    began, first = time.perf_counter(), state.step
    if first:
        display.note(f"resumed after step {first} of {session.steps}")
    display.start(first, session.steps)
    if _missed_validation(session):
        validate(session)
    with StopSignals(tell=session.fabric.is_global_zero) as signals:
        fit(session, signals)
    session.data.close()
    numbers = validate(session)
    display.close()
    if session.fabric.is_global_zero:
        seconds = time.perf_counter() - began
        finish(session, {"steps": state.step - first, "seconds": round(seconds, 1), "eval": numbers})


def finish(session: Session, summary: dict[str, Any]) -> None:
    """Write the report and say what came out."""
    report = write_report(session.folder.path)
    losses = [r["loss"] for r in read_metrics(session.folder.metrics) if r.get("loss") is not None]
    summary |= {"loss": losses[-1] if losses else None, "run": str(session.folder.path), "report": str(report)}
    session.display.done(summary)


def _missed_validation(session: Session) -> bool:
    """Whether the run was killed between the checkpoint of a step and the evaluation that was due there."""
    every, step = session.config.train.validate_every, session.state.step
    if every is None or not step or step % every or step >= session.steps:
        return False
    if session.config.train.strategy == "fsdp":  # a sharded model must begin with a training step
        return False
    seen = session.metrics is not None and any(
        r["step"] == step and "eval" in r for r in read_metrics(session.folder.metrics)
    )
    return not shared(session.fabric, lambda: seen)
