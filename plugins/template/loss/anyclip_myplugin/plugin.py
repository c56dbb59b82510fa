"""What this package registers. The only module that its entry point names; no torch here."""

from __future__ import annotations

from anyclip.hookspecs import hookimpl
from anyclip.specs import LossSpec, Scalar


@hookimpl
def anyclip_losses():
    yield LossSpec(
        name="myloss",
        target="anyclip_myplugin.loss:MyLoss",
        options="anyclip_myplugin.options:MyLossOptions",
        summary="Softmax over the candidates of each row",
        scale=Scalar(init=14.3, max=100.0),
    )
