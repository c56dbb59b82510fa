"""What this package registers. The only module that its entry point names; no torch here."""

from __future__ import annotations

from anyclip.hookspecs import hookimpl
from anyclip.specs import ModalitySpec, TowerSpec


@hookimpl
def anyclip_modalities():
    yield ModalitySpec(
        name="imu",
        suffixes=(".imu.csv", ".imu.npy"),
        decode="anyclip_imu.recording:decode",
        content_key="anyclip_imu.recording:content_key",
        preview="anyclip_imu.preview:preview",
        synthetic="anyclip_imu.synthetic:render",
        prompts=("a shape, {}", "something {}", "an object that is {}", "{}"),
        summary="Accelerometer and gyroscope recordings",
    )


@hookimpl
def anyclip_towers():
    yield TowerSpec(
        name="imu/patches",
        target="anyclip_imu.tower:PatchTower",
        options="anyclip_imu.options:PatchOptions",
        summary="A transformer over patches of a recording",
        tiny={"width": 16, "depth": 2, "heads": 2, "seconds": 2.0},
        promises=("exports", "compiles"),
    )
