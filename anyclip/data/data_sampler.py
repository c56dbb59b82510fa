"""The interface of a sampler that a config names: an order of samples that may follow what the model learned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from anyclip.errors import UserError
from anyclip.registry import get_registry


class DataSampler(ABC):
    """Which rows make the global batch of a step; the target of a `SamplerSpec`.

    Built on every process with the same arguments; everything it does must be a function of these, of the steps asked
    for and of what it was shown, so that all processes and a resumed run have the same batches. Raises UserError when
    the data does not fit.

    Args:
        options: its options. sizes: rows of each dataset, names: their names. batch_size: global rows of a batch.
        streams: the streams that are trained. ahead: how many steps the loader may ask before they are trained.
    """

    observes: Sequence[str] = ()
    """Streams whose embeddings `observe` wants."""

    def __init__(
        self,
        options: Any,
        *,
        sizes: Sequence[int],
        names: Sequence[str],
        batch_size: int,
        seed: int,
        streams: Sequence[str],
        ahead: int,
    ):
        self.options, self.sizes, self.names = options, list(sizes), list(names)
        self.batch_size, self.seed, self.streams, self.ahead = batch_size, seed, list(streams), ahead

    @property
    @abstractmethod
    def steps_per_epoch(self) -> float:
        """Steps that `train.epochs: 1` means."""

    @abstractmethod
    def batch(self, step: int) -> np.ndarray:
        """int64 [N, 3]: epoch, dataset, row. May be asked again, and up to `ahead` steps before the step is trained."""

    def observe(  # noqa: B027 (most look at nothing)
        self, step: int, embeddings: Mapping[str, tuple[np.ndarray, np.ndarray]]
    ) -> None:
        """After each step in turn: stream -> (places in the step's batch, int64 [R]; embeddings, float32 [R, E])."""

    def state_dict(self) -> dict[str, Any]:
        """What `observe` left, as JSON values and tensors."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any | Tensor]) -> None:  # noqa: B027
        """Go on from a `state_dict`, of which tensors come back as tensors."""


def create_sampler(name: str, options: dict[str, Any], *, seed: int, **about: Any) -> DataSampler:
    """Build a registered sampler; `about` as `DataSampler` takes it. Raises UserError."""
    registry = get_registry()
    built = registry.build_options("sampler", name, options)
    sampler = registry.load("sampler", name)(built, seed=seed, **about)
    strange = [stream for stream in sampler.observes if stream not in sampler.streams]
    if strange:
        raise UserError(
            f"{name} wants the embeddings of {', '.join(strange)}, which is not trained.",
            where="data.sampler",
            hint=f"Trained: {', '.join(sampler.streams)}.",
        )
    return sampler
