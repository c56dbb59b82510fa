"""Importers of published checkpoints with an audio side; their text side needs the package anyclip-text."""
