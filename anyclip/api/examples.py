"""Example values of a stream, for what must run a model without a user's data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anyclip.config.schema import SourceConfig
from anyclip.data.sources import Source, StreamInfo
from anyclip.errors import BadSample, UserError

if TYPE_CHECKING:
    from anyclip.model import JointModel


def example_samples(joint: JointModel, stream: str, count: int) -> list[Any]:
    """Loaded samples of synthetic scenes, or the processor's placeholder where the tower takes no such value."""
    processor = joint.processor(stream)
    config = SourceConfig(name="synthetic", options={"size": count, "seed": 7})
    source = Source(config, streams={stream: StreamInfo(processor, joint.modality(stream))})
    try:
        return [source.load(row, stream) for row in range(count)]
    except (UserError, BadSample):
        return [processor.placeholder() for _ in range(count)]
