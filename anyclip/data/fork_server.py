"""Imported by the fork server of loader workers alone, before it starts any.

A scheduler's SIGTERM (and `timeout`) reaches the whole process group. The fork server would die of it, and the trainer
would take its workers for dead while it still needs batches to end with a checkpoint. The server ends by itself with
the trainer, whose end of their pipe closes then.
"""

from __future__ import annotations

import signal

import anyclip.data.loading  # noqa: F401  workers share what it imported

signal.signal(signal.SIGTERM, signal.SIG_IGN)
