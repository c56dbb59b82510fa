"""A processor whose values say what goes wrong, for tests of loading."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anyclip.errors import BadSample
from anyclip.processors import Processor

ERRORS = {"memory": MemoryError, "interrupt": KeyboardInterrupt, "type": TypeError, "os": OSError}


class FaultyProcessor(Processor):
    """Loads strings to `[length, a random draw]`; some words are orders.

    `refuse REASON`: BadSample. `raise memory|interrupt|type|os`: that error. `signal N`: the process gets signal N.
    `sleep SECONDS`: holds the processor in a system call. `shape N`: a sample that does not collate with others.
    `unpicklable`: a sample that cannot be sent to another process.
    """

    def load(self, value: Any, *, rng: np.random.Generator | None = None) -> Tensor | list:
        order, _, argument = str(value).partition(" ")
        if order == "refuse":
            raise BadSample(argument)
        if order == "raise":
            raise ERRORS[argument]("as ordered")
        if order == "signal":
            os.kill(os.getpid(), int(argument) or signal.SIGKILL)
        if order == "sleep":
            time.sleep(float(argument))
        if order == "unpicklable":
            return [lambda: value]
        draw = 0.0 if rng is None else float(rng.random())
        return torch.tensor([len(str(value)), draw] + [0.0] * (int(argument) if order == "shape" else 0))

    def collate(self, samples: list) -> Any:
        return torch.stack(samples) if all(isinstance(sample, Tensor) for sample in samples) else samples

    def placeholder(self) -> Tensor:
        return torch.zeros(2)
