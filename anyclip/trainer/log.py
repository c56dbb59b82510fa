"""What is logged, and when."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from typing import Any

import torch

from anyclip.checkpoint.tensors import full
from anyclip.objectives import PairObjective
from anyclip.step import StepOutput
from anyclip.trainer.agree import largest, on_main, summed
from anyclip.trainer.clock import Clock
from anyclip.trainer.metrics import flatten
from anyclip.trainer.session import Session


def log_step(session: Session, output: StepOutput, norm: float, clock: Clock, *, write: bool) -> None:
    """Take a step into the running means; with `write`, log them and begin anew. Every process calls this."""
    state = session.state
    finite = {"loss": output.loss, "grad_norm": norm} if state.in_row == 0 else {}
    state.window.add(finite | {f"terms/{name}": value for name, value in output.terms.items() if finite})
    if not write:
        return
    seconds, waited = clock.lap()
    (wait,) = largest(session.fabric, waited / max(seconds, 1e-9))
    bad, memory = summed(session.fabric, session.quarantine.total_bad, memory_bytes(session.fabric.device))
    means = state.window.means()
    done = state.samples - session.logged_samples
    record = {
        "step": state.step,
        "loss": means.get("loss"),
        "terms": {k.removeprefix("terms/"): v for k, v in means.items() if k.startswith("terms/")},
        "lr": session.optimizer.param_groups[0]["lr"] / (session.optimizer.param_groups[0]["lr_scale"] or 1.0),
        "scales": scales(session),
        "grad_norm": means.get("grad_norm"),
        "samples_per_s": round(done / max(seconds, 1e-9), 3),
        "data_wait": round(wait, 4),
        "samples": state.samples,
        "bad": int(bad),
        "skipped": state.skipped,
        "memory_mib": round(memory / 2**20, 1),
    }
    state.window.clear()
    session.logged_samples = state.samples
    on_main(session.fabric, lambda: write_record(session, record))


def write_record(session: Session, record: Mapping[str, Any]) -> None:
    """To metrics.jsonl, the loggers and the display (first process)."""
    assert session.metrics is not None
    session.metrics.write(record)
    values = flatten({k: v for k, v in record.items() if k != "step"})
    for logger in session.loggers:
        logger.log(record["step"], values)
    session.display.record(record)


def scales(session: Session) -> dict[str, float]:
    """The scale of every edge by its name, and its bias as `NAME.bias`. Every process calls this."""
    found: dict[str, float] = {}
    for name, _, objective in session.objectives.terms:
        if isinstance(objective, PairObjective):
            found[name] = float(full(objective.scale.detach()))
            if objective.bias is not None:
                found[f"{name}.bias"] = float(full(objective.bias.detach()))
    return found


def memory_bytes(device: torch.device) -> int:
    """Peak memory of this process: of the GPU where there is one, else resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
