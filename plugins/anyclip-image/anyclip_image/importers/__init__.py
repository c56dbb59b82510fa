"""Importers of published image-text checkpoints; their text side needs the package anyclip-text."""
