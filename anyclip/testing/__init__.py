"""Aids for tests: a toy modality that needs no plugin."""
