"""Importers of published point-cloud checkpoints; their image and text side needs anyclip-image and anyclip-text."""
