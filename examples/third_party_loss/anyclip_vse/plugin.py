"""What this package registers. The only module that its entry point names; no torch here."""

from __future__ import annotations

from anyclip.hookspecs import hookimpl
from anyclip.specs import LossSpec, Scalar


@hookimpl
def anyclip_losses():
    yield LossSpec(
        name="vse",
        target="anyclip_vse.loss:VSE",
        options="anyclip_vse.options:VSEOptions",
        summary="Hinge on the hardest negative of each row (VSE++)",
        scale=Scalar(init=1.0, learn=False),
    )
