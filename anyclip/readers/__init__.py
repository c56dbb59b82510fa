"""Readers give undecoded samples by row number."""

from anyclip.readers.base import Blob, Reader, create_reader

__all__ = ["Blob", "Reader", "create_reader"]
