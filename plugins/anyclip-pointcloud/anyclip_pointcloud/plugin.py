"""What this plugin registers: the modality `pointcloud`, its towers and readers. Imports nothing heavy."""

from __future__ import annotations

from anyclip.hookspecs import hookimpl
from anyclip.specs import ModalitySpec, TowerSpec

SUFFIXES = (
    ".ply",
    ".pcd",
    ".xyz",
    ".xyzn",
    ".xyzrgb",
    ".pts",
    ".las",
    ".laz",
    ".off",
    ".obj",
    ".stl",
    ".glb",
    ".gltf",
    ".npy",
    ".npz",
)
"""`.txt` and `.h5` are read too, but claimed by no modality: give `--modality pointcloud`."""

PROMPTS = (
    "a point cloud model of {}.",
    "there is a {} in the scene.",
    "a 3D model of {}.",
    "a depth map of {}.",
    "a photo of {}.",
)


@hookimpl
def anyclip_modalities():
    yield ModalitySpec(
        name="pointcloud",
        suffixes=SUFFIXES,
        decode="anyclip_pointcloud.decode:decode",
        content_key="anyclip_pointcloud.preview:content_key",
        preview="anyclip_pointcloud.preview:preview",
        synthetic="anyclip_pointcloud.synthetic:render",
        prompts=PROMPTS,
        summary="Point clouds and meshes: files, bytes, arrays",
    )


# (name, "module:Class", "module:Options", summary, tiny options, further fields of the spec)
_TOWERS: tuple[tuple[str, str, str, str, dict, dict], ...] = ()


@hookimpl
def anyclip_towers():
    for name, target, options, summary, tiny, more in _TOWERS:
        yield TowerSpec(
            name=f"pointcloud/{name}",
            target=f"anyclip_pointcloud.{target}",
            options=f"anyclip_pointcloud.{options}",
            summary=summary,
            tiny=tiny,
            **more,
        )
