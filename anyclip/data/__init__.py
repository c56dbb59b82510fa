"""Rows become batches: sampling order, loading in workers, quarantine of broken values."""

from anyclip.data.batch import Batch

__all__ = ["Batch"]
