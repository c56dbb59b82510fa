"""Evaluations measure a trained model; they run during training and by `anyclip eval`."""
