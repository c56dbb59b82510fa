"""The Python API: open a model, embed values, compare them."""

from anyclip.api.loading import import_checkpoint, load
from anyclip.api.model import Model

__all__ = ["Model", "import_checkpoint", "load"]
