"""Evaluations inside a run."""

from __future__ import annotations

import contextlib

from anyclip.trainer.agree import on_main
from anyclip.trainer.log import write_record
from anyclip.trainer.session import Session


def validate(session: Session) -> dict[str, float]:
    """Run the evaluations of the config on the model (its average when there is one) and log their numbers.

    Returns `NAME/METRIC` -> value; {} when the config names no evaluation. The model is left in eval mode.
    """
    if not session.config.eval:
        return {}
    from anyclip.evaluation import run_evaluations

    averaged = session.ema.applied() if session.ema is not None else contextlib.nullcontext()
    session.step_module.eval()
    with averaged:
        results = run_evaluations(session.model, session.config, device=session.fabric.device, fabric=session.fabric)
    numbers = {f"{result.name}/{name}": value for result in results for name, value in result.numbers.items()}
    on_main(session.fabric, lambda: write_record(session, {"step": session.state.step, "eval": numbers}))
    return numbers
