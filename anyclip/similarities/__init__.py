"""Similarities score a pair of streams."""

from anyclip.similarities.base import Prepared, Similarity, create_similarity

__all__ = ["Prepared", "Similarity", "create_similarity"]
