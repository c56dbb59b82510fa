"""What a run leaves on disk: checkpoints that are whole or absent, model folders, and how they are opened again."""

from anyclip.checkpoint.atomic import write_atomic, write_text_atomic
from anyclip.checkpoint.folder import RunFolder, find_weights
from anyclip.checkpoint.opening import open_model, open_similarities
from anyclip.checkpoint.saving import save_model_folder
from anyclip.checkpoint.tensors import load_tensors, save_tensors
from anyclip.checkpoint.versions import changed_versions, current_versions

__all__ = [
    "RunFolder",
    "changed_versions",
    "current_versions",
    "find_weights",
    "load_tensors",
    "open_model",
    "open_similarities",
    "save_model_folder",
    "save_tensors",
    "write_atomic",
    "write_text_atomic",
]
