"""The loop: fetch, update, log, save, validate."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator

from anyclip.data import Batch
from anyclip.data.data_sampler import DataSampler
from anyclip.errors import UserError
from anyclip.step import StepOutput, after_step, train_step
from anyclip.trainer.agree import largest, raise_any
from anyclip.trainer.checkpoints import save_checkpoint
from anyclip.trainer.clock import Clock
from anyclip.trainer.log import log_step
from anyclip.trainer.optimizers import clip_gradients, gradient_norm, set_rate
from anyclip.trainer.schedule import rate
from anyclip.trainer.session import Session
from anyclip.trainer.signals import Stopped, StopSignals
from anyclip.trainer.validate import validate


def fit(session: Session, signals: StopSignals) -> None:
    """Train from `session.state.step` to the last step, then save. Raises Stopped, after saving, on a signal."""
    config, state = session.config.train, session.state
    session.step_module.train()
    clock = Clock(config.checkpoint_minutes, config.checkpoint_every)
    batches = session.data.batches(state.step)
    while state.step < session.steps:
        batch, stop, save = fetch(session, batches, signals, clock)
        if stop or save:
            save_now(session, clock)
        if stop:
            told = session.fabric.is_global_zero
            raise Stopped(stop, f"stopped after step {state.step} of {session.steps}", told=told)
        output, norm = update(session, batch)
        session.quarantine.record(batch)
        session.display.step(state.step)
        last = state.step == session.steps
        log_step(session, output, norm, clock, write=last or state.step % config.log_every == 0)
        if last or _every(state.step, config.checkpoint_every):
            save_now(session, clock)
        if not last and _every(state.step, config.validate_every):
            with clock.paused():
                validate(session)
            session.step_module.train()


def fetch(session: Session, batches: Iterator[Batch], signals: StopSignals, clock: Clock) -> tuple[Batch, int, bool]:
    """(next batch, signal to stop for or 0, whether a checkpoint is due), the last two the same on all processes.

    Raises UserError everywhere when the data of any process cannot be used.
    """
    error: UserError | None = None
    batch: Batch = None  # type: ignore[assignment]
    try:
        session.quarantine.check()
        with clock.waiting():
            batch = next(batches)
    except UserError as raised:
        error = raised
    flags = (
        signals.received == signal.SIGINT,
        signals.received == signal.SIGTERM,
        error is not None,
        session.fabric.is_global_zero and clock.save_due(),
    )
    interrupted, terminated, failed, save = largest(session.fabric, *flags)
    if failed:
        raise_any(session.fabric, error)
    return batch, signal.SIGINT if interrupted else signal.SIGTERM if terminated else 0, bool(save)


def update(session: Session, batch: Batch) -> tuple[StepOutput, float]:
    """One optimizer step, or none when the loss or the gradient is not finite; (output, norm of the gradient)."""
    config, state, fabric = session.config, session.state, session.fabric
    set_rate(session.optimizer, config.optimizer.lr * rate(state.step, session.steps, config.schedule))
    output = train_step(session.step_module, batch.to(fabric.device), fabric=fabric, step=state.step)
    fabric.strategy.precision.unscale_gradients(session.optimizer)
    gradient = gradient_norm(session.parameters)
    norm = float(gradient)
    if output.finite and math.isfinite(norm):
        if config.train.clip_grad_norm is not None:
            clip_gradients(session.parameters, gradient, config.train.clip_grad_norm)
        session.stepper.step()
        after_step(session.step_module, output)
        if session.ema is not None:
            session.ema.update(state.step)
        state.in_row = 0
    else:
        skip(session)
    observe(session, output)
    state.step += 1
    state.samples += batch.size
    return output, norm


def observe(session: Session, output: StepOutput) -> None:
    """Show the sampler, on every process, the embeddings of the global batch that it wants."""
    sampler, context = session.data.sampler, output.context
    if not isinstance(sampler, DataSampler) or not sampler.observes:
        return
    assert context is not None
    seen = {}
    for stream in sampler.observes:
        if context.count(stream):
            side = context.side(stream)
            seen[stream] = side.rows.numpy(), side.prepared["embedding"].detach().float().cpu().numpy()
    sampler.observe(session.state.step, seen)


def skip(session: Session) -> None:
    """Count a step without an update. Raises UserError after `train.max_nonfinite` in a row."""
    state, config = session.state, session.config.train
    scaler = getattr(session.fabric.strategy.precision, "scaler", None)
    if scaler is not None:
        scaler.update()  # fp16: an overflow lowers the loss scale, and only the update that follows resets it
    state.skipped += 1
    state.in_row += 1
    if state.in_row < config.max_nonfinite:
        return
    good = session.folder.latest()
    error = UserError(
        f"the loss or its gradient was not finite in {state.in_row} steps in a row "
        f"({state.step + 1 - state.in_row + 1} to {state.step + 1}).",
        where=str(session.folder.path),
        hint="Lower optimizer.lr, set train.clip_grad_norm, warm up longer, or use a wider train.precision. "
        + (f"The last checkpoint, {good}, is from before." if good else "There is no checkpoint yet."),
    )
    raise_any(session.fabric, error)


def save_now(session: Session, clock: Clock) -> None:
    """Save unless this step is saved already."""
    with clock.paused():
        if session.saved != session.state.step:
            save_checkpoint(session)
            session.saved = session.state.step
    clock.saved()


def _every(step: int, interval: int | None) -> bool:
    return interval is not None and step % interval == 0
