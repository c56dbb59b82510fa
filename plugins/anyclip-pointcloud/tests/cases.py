"""Tiny configurations of every point-cloud tower; the contract tests run over all of them."""

from __future__ import annotations

# name -> (tower, options)
CASES: dict[str, tuple[str, dict]] = {}
