"""Importers of published video checkpoints; their text side needs the package anyclip-text."""
