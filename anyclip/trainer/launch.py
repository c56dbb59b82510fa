"""Processes and devices: Fabric, its launcher, threads, determinism; and that no process outlives the first one."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import warnings
from collections.abc import Iterator

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import ModelParallelStrategy

from anyclip.config.schema import TrainConfig
from anyclip.errors import UserError
from anyclip.trainer.sharding import shard

_LAUNCHER = "ANYCLIP_LAUNCHER"  # pid of the process that started the others
_RENDEZVOUS = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE", _LAUNCHER)


@contextlib.contextmanager
def launched(config: TrainConfig) -> Iterator[Fabric]:
    """Fabric with all processes running; on leaving, the other processes are waited for and the group is closed.

    One command is enough on one machine: the first process starts the others. Under torchrun and SLURM, and with
    `num_nodes` and MASTER_ADDR, NODE_RANK set by hand, it joins the processes that are there.
    """
    before = {name: os.environ.get(name) for name in _RENDEZVOUS}
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    fabric = create_fabric(config)
    os.environ.setdefault(_LAUNCHER, str(os.getpid()))
    try:
        fabric.launch()
        _end_with_parent()
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        _be_deterministic(fabric.device)
        yield fabric
        fabric.barrier()
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        for process in getattr(fabric.strategy.launcher, "procs", ()):
            with contextlib.suppress(Exception):
                process.wait(timeout=10)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


def create_fabric(config: TrainConfig) -> Fabric:
    """Fabric as `train:` describes it. Raises UserError for what the machine cannot do."""
    _check_precision(config)
    strategy = ModelParallelStrategy(parallelize_fn=shard) if config.strategy == "fsdp" else config.strategy
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Fabric(
                accelerator=config.accelerator,
                devices=config.devices,
                num_nodes=config.num_nodes,
                strategy=strategy,
                precision=config.precision,
            )
    except (RuntimeError, ValueError) as error:  # Fabric: no such accelerator, more devices than there are
        hint = "Devices: " + ", ".join(_accelerators()) + "."
        raise UserError(f"{error}".rstrip(".") + ".", where="train.devices", hint=hint) from error


def _check_precision(config: TrainConfig) -> None:
    on_cpu = config.accelerator == "cpu" or (config.accelerator == "auto" and _accelerators() == ["cpu"])
    if config.precision == "16-mixed" and on_cpu:
        raise UserError("16-mixed needs a GPU.", where="train.precision", hint="On the CPU use bf16-mixed or 32-true.")
    if config.strategy == "fsdp" and config.precision in ("16-mixed", "64-true"):
        raise UserError(
            f"fsdp does not run in {config.precision}.",
            where="train.precision",
            hint="Choose 32-true, bf16-mixed or bf16-true, or train.strategy ddp.",
        )


def _accelerators() -> list[str]:
    found = [f"{torch.cuda.device_count()} cuda"] if torch.cuda.is_available() else []
    return [*found, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def _be_deterministic(device: torch.device) -> None:
    """On the CPU deterministic kernels cost nothing; elsewhere they are slower and stay the user's choice."""
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that costs time


def _end_with_parent() -> None:
    """A process that the launcher started ends soon after the launcher is gone, whatever it is waiting for."""
    parent = os.getppid()
    if os.environ.get(_LAUNCHER) != str(parent):
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()
