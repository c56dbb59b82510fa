"""The proof of exactness as `anyclip doctor` runs it: on processes of its own, or on those of a launcher."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from anyclip.errors import UserError

if TYPE_CHECKING:
    from anyclip.testing.exactness import Case


def launched() -> bool:
    """Whether torchrun, or a launcher like it, started this process."""
    return {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys()


def is_main() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


def exact(case: Case) -> bool:
    from anyclip.testing.exactness import TOLERANCE

    return case.worst <= TOLERANCE


def prove(processes: int, strategies: Sequence[str], *, quick: bool) -> tuple[list[Case], bool]:
    """(every case, whether this process reports). Raises UserError when the processes cannot work together."""
    from anyclip.testing import exactness

    variants = ("plain",) if quick else exactness.VARIANTS
    strategies = list(strategies) or ["ddp", "fsdp"]
    if launched():
        return _on_launched(strategies, variants), is_main()
    cases = list(exactness.compare(["single"], world=max(processes, 2), variants=variants))
    if processes > 1:
        try:
            cases += exactness.spawn(processes, strategies=strategies, variants=variants)
        except RuntimeError as error:
            raise UserError(
                f"the {processes} processes failed:\n{error}", where="anyclip doctor", next="anyclip doctor -n 1"
            ) from error
    return cases, True


def _on_launched(strategies: Sequence[str], variants: Sequence[str]) -> list[Case]:
    """On the processes of the launcher; what any process finds wrong is told by the first."""
    import torch
    import torch.distributed as dist

    from anyclip.testing import exactness

    devices = torch.cuda.device_count()
    local = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
    accelerator = "cuda" if devices >= local else "cpu"
    if accelerator == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("cpu:gloo,cuda:nccl" if accelerator == "cuda" else "gloo")
    try:
        cases = list(exactness.compare(strategies, accelerator=accelerator, variants=variants))
        found: list[list[Case]] = [[] for _ in range(dist.get_world_size())]
        dist.all_gather_object(found, [case for case in cases if not exact(case)])
        return cases + [case for others in found[1:] for case in others]
    finally:
        dist.destroy_process_group()
