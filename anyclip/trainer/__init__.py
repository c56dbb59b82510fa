"""Training: devices, the loop, resume, signals, logging. `train` is the whole of it."""

from anyclip.trainer.loggers import Logger
from anyclip.trainer.signals import Stopped
from anyclip.trainer.train import train

__all__ = ["Logger", "Stopped", "train"]
