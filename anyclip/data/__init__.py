"""Rows become batches: sampling order, loading in workers, quarantine of broken values."""

from anyclip.data.batch import BadValue, Batch
from anyclip.data.loading import TrainData
from anyclip.data.quarantine import Quarantine
from anyclip.data.sampler import Sampler
from anyclip.data.sources import Source, StreamInfo

__all__ = ["BadValue", "Batch", "Quarantine", "Sampler", "Source", "StreamInfo", "TrainData"]
