"""Processors decode, transform and collate one tower's values; they run in loader workers and hold no weights."""

from anyclip.errors import BadSample
from anyclip.processors.base import Processor, to_device
from anyclip.processors.vectors import Vectors

__all__ = ["BadSample", "Processor", "Vectors", "to_device"]
