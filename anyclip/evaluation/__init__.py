"""Evaluations measure a trained model; they run during training and by `anyclip eval`."""

from anyclip.evaluation.base import Evaluation, Result
from anyclip.evaluation.run import load_results, run_evaluations, save_results

__all__ = ["Evaluation", "Result", "load_results", "run_evaluations", "save_results"]
