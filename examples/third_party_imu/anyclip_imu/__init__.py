"""Inertial sensors for anyclip."""
