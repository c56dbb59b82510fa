"""The joint model: towers and projections of every stream."""

from anyclip.model.build import build_model
from anyclip.model.joint import JointModel
from anyclip.model.loading import load_projection_state, load_tower_state

__all__ = ["JointModel", "build_model", "load_projection_state", "load_tower_state"]
