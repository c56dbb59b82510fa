"""What this plugin registers: the modality `pointcloud`, its towers and readers. Imports nothing heavy."""

from __future__ import annotations

from anyclip.hookspecs import hookimpl
from anyclip.specs import ImporterSpec, ModalitySpec, ReaderSpec, TowerSpec

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
_TOWERS: tuple[tuple[str, str, str, str, dict, dict], ...] = (
    (
        "pointnet",
        "pointnet_tower:PointnetTower",
        "tower_options_points:PointnetOptions",
        "Layers that all points share, then their maximum: small and quick",
        {"points": 48, "channels": [8, 16]},
        {"promises": ("compiles",)},
    ),
    (
        "pointnet2",
        "pointnet2_tower:Pointnet2Tower",
        "tower_options_points:Pointnet2Options",
        "PointNet++ with balls of one size or several",
        {"points": 48, "centres": [16, 8], "radius": 0.5, "width": 64},
        {},
    ),
    (
        "pointmlp",
        "pointmlp_tower:PointmlpTower",
        "tower_options_points:PointmlpOptions",
        "PointMLP: residual MLPs on normalised neighbourhoods",
        {
            "points": 48,
            "embed_dim": 8,
            "dim_expansion": [2, 2],
            "pre_blocks": [1, 1],
            "pos_blocks": [1, 1],
            "k_neighbors": [6, 6],
            "reducers": [2, 2],
            "width": 16,
        },
        {},
    ),
    (
        "pointbert",
        "pointbert_tower:PointbertTower",
        "tower_options_points:PointbertOptions",
        "The point transformer of Point-BERT, as in ULIP and ULIP-2",
        {
            "points": 48,
            "trans_dim": 24,
            "depth": 2,
            "num_heads": 2,
            "encoder_dims": 16,
            "num_group": 8,
            "group_size": 6,
            "feature": "max",
        },
        {},
    ),
    (
        "uni3d",
        "uni3d_tower:Uni3dTower",
        "tower_options_points:Uni3dOptions",
        "Patches of points through a vision transformer of timm",
        {
            "points": 48,
            "num_group": 8,
            "group_size": 6,
            "encoder_dim": 16,
            "size": "tiny",
            "args": {"img_size": 28, "embed_dim": 24, "depth": 2, "num_heads": 2},
        },
        {},
    ),
)

_CLIP = {"ref": "image/open_clip"}
_SMALL = {"points": 256, "image_size": 32, "image": _CLIP}
_NEEDS_IMAGE = {"requires": ("anyclip_image",)}
_VIEW_TOWERS: tuple[tuple[str, str, str, str, dict, dict], ...] = (
    (
        "pointclip",
        "pointclip_tower:PointClipTower",
        "tower_options_views:PointClipOptions",
        "Depth maps of 6 or 10 views through an image tower, view weights, inter-view adapter (PointCLIP)",
        {**_SMALL, "canvas": 32, "adapter": "inter_view"},
        _NEEDS_IMAGE,
    ),
    (
        "pointclip_v2",
        "pointclip_v2_tower:PointClipV2Tower",
        "tower_options_views:PointClipV2Options",
        "Dense, smooth depth maps of 10 views through an image tower (PointCLIP V2)",
        {**_SMALL, "resolution": 34, "learn_weights": True},
        _NEEDS_IMAGE,
    ),
    (
        "clip2point",
        "clip2point_tower:Clip2PointTower",
        "tower_options_views:Clip2PointOptions",
        "Rendered depth maps through an encoder pre-trained on them, dual-path adapter (CLIP2Point)",
        {**_SMALL, "radius": 0.06, "adapter": True, "original": _CLIP},
        _NEEDS_IMAGE,
    ),
)


@hookimpl
def anyclip_towers():
    for name, target, options, summary, tiny, more in (*_TOWERS, *_VIEW_TOWERS):
        yield TowerSpec(
            name=f"pointcloud/{name}",
            target=f"anyclip_pointcloud.{target}",
            options=f"anyclip_pointcloud.{options}",
            summary=summary,
            tiny=tiny,
            **more,
        )


# (name, "module:function", "module:Options", summary, modules that it needs beyond the plugin's own)
_IMPORTERS: tuple[tuple[str, str, str, str, tuple[str, ...]], ...] = (
    (
        "ulip",
        "importers.ulip:import_ulip",
        "importers.options_points:UlipImport",
        "ULIP: Point-BERT, PointNet++ or PointMLP with SLIP's image and text towers",
        ("anyclip_image", "anyclip_text"),
    ),
    (
        "ulip-2",
        "importers.ulip:import_ulip2",
        "importers.options_points:Ulip2Import",
        "ULIP-2: coloured Point-BERT, with its CLIP where there is a file of it",
        ("anyclip_image", "anyclip_text"),
    ),
    (
        "uni3d",
        "importers.uni3d:import_uni3d",
        "importers.options_points:Uni3dImport",
        "Uni3D of every size, with its CLIP where there is a file of it",
        ("anyclip_image", "anyclip_text"),
    ),
    (
        "pointclip",
        "importers.pointclip:import_pointclip",
        "importers.options_views:PointClipImport",
        "PointCLIP's adapter with its CLIP, or a CLIP that shall see views of clouds",
        ("anyclip_image", "anyclip_text"),
    ),
    (
        "clip2point",
        "importers.clip2point:import_clip2point",
        "importers.options_views:Clip2PointImport",
        "CLIP2Point: the pre-trained depth encoder, or the dual-path adapter",
        ("anyclip_image", "anyclip_text"),
    ),
)


@hookimpl
def anyclip_importers():
    for name, target, options, summary, requires in _IMPORTERS:
        yield ImporterSpec(
            name=name,
            target=f"anyclip_pointcloud.{target}",
            options=f"anyclip_pointcloud.{options}",
            summary=summary,
            requires=requires,
        )


@hookimpl
def anyclip_readers():
    for name, cls, summary in (
        ("modelnet", "Modelnet", "ModelNet40 and ModelNet10: h5 files, resampled points, or folders of meshes"),
        ("scanobjectnn", "Scanobjectnn", "ScanObjectNN: scanned objects of 15 classes, every variant"),
        ("shapenet", "Shapenet", "ShapeNet-55 with rendered views, or ShapeNetCore's meshes"),
        ("objaverse", "Objaverse", "A JSON listing of objects with captions: ULIP-2, OpenShape, Uni3D"),
    ):
        yield ReaderSpec(
            name=name,
            target=f"anyclip_pointcloud.{name}_reader:{cls}Reader",
            options=f"anyclip_pointcloud.layout_options:{cls}Options",
            summary=summary,
            example=f"anyclip_pointcloud.layout_examples:{name}",
        )
