"""What this package registers. The only module that its entry point names; no torch here."""

from __future__ import annotations

from anyclip.hookspecs import hookimpl
from anyclip.specs import ModalitySpec, TowerSpec


@hookimpl
def anyclip_modalities():
    yield ModalitySpec(
        name="mymodality",
        suffixes=(".mymodality.npy", ".mymodality.csv"),
        decode="anyclip_myplugin.modality:decode",
        content_key="anyclip_myplugin.modality:content_key",
        preview="anyclip_myplugin.modality:preview",
        synthetic="anyclip_myplugin.modality:render",
        prompts=("mymodality of {}", "{}"),
        summary="A series of numbers",
    )


@hookimpl
def anyclip_towers():
    yield TowerSpec(
        name="mymodality/mytower",
        target="anyclip_myplugin.tower:MyTower",
        options="anyclip_myplugin.options:MyTowerOptions",
        summary="Convolutions over a series of numbers",
        tiny={"size": 32, "width": 16, "depth": 2},
    )
