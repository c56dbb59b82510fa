"""Towers encode one modality; they are created by registry name."""

from anyclip.towers.base import Encoding, Tower
from anyclip.towers.create import create_inner_tower, create_tower

__all__ = ["Encoding", "Tower", "create_inner_tower", "create_tower"]
