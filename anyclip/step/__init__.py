"""One training step: forward and backward of a global batch, exact on any number of processes and micro-batches."""

from anyclip.step.module import Step
from anyclip.step.output import StepOutput
from anyclip.step.sharding import shard
from anyclip.step.train import after_step, train_step, unwrap

__all__ = ["Step", "StepOutput", "after_step", "shard", "train_step", "unwrap"]
