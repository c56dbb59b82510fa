"""Evaluations inside a run."""

from __future__ import annotations

import contextlib
import math

from anyclip.errors import UserError
from anyclip.evaluation import Result, run_evaluations, save_results
from anyclip.objectives import PairObjective
from anyclip.trainer.agree import on_main
from anyclip.trainer.log import write_record
from anyclip.trainer.session import Session


def validate(session: Session) -> dict[str, float]:
    """Run the config's evaluations on the model (its average when there is one); save and log what they find.

    Returns `EVALUATION/METRIC` -> value; {} when the config names no evaluation. The model is left in eval mode.
    """
    if not session.config.eval:
        return {}
    similarities = {
        (o.streams[0], o.streams[1]): o.similarity
        for _, _, o in session.objectives.terms
        if isinstance(o, PairObjective)
    }
    session.step_module.eval()
    with session.ema.applied() if session.ema is not None else contextlib.nullcontext():
        results = run_evaluations(
            session.model,
            session.config,
            device=session.fabric.device,
            fabric=session.fabric,
            similarities=similarities,
        )
    numbers = {f"{r.name}/{name}": value for r in results for name, value in r.numbers.items() if math.isfinite(value)}
    on_main(session.fabric, lambda: _save(session, results, numbers))
    return numbers


def _save(session: Session, results: list[Result], numbers: dict[str, float]) -> None:
    try:
        save_results(session.folder.path, results, step=session.state.step)
    except OSError as error:
        raise UserError(f"cannot be written: {error.strerror}.", where=str(session.folder.eval)) from error
    write_record(session, {"step": session.state.step, "eval": numbers})
