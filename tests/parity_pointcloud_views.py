"""PointCLIP, PointCLIP V2 and CLIP2Point against recorded values of their original code.

`run(path, data)` yields the lines of one file. Weights are drawn by the recipe of the reference folder's README, from
the published names, and pass through the importers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from parity_pointcloud_points import close, cloud, drawn, randn, same_ends
from parity_report import Line
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from anyclip.checkpoint.importing import import_checkpoint_file
from anyclip.model import JointModel
from anyclip.testing.reference import Difference
from anyclip.towers import create_tower

UNIT = 1e-6  # absolute, of normalised features; the origin's float32 against float64: 2.4e-7
RAW = 1e-5  # of features and depths, which are about 1
FLIPPED = {"pointclip": 0.005, "pointclip_v2": 0.01, "clip2point": 0.005}  # share of pixels that rounding may move
Case = tuple[str, Callable[[], list[Difference]]]


def run(path: Path, data: Mapping[str, Any]) -> Iterator[Line]:
    """Every case of `pointclip.json`, `pointclip_v2.json` or `clip2point.json`."""
    arrays = dict(np.load(path.with_suffix(".npz"), allow_pickle=False))
    cases = {"pointclip": pointclip, "pointclip_v2": pointclip_v2, "clip2point": clip2point}[path.stem]
    for name, case in cases(data, arrays):
        try:
            with torch.no_grad():
                found = case()
        except Exception as error:
            yield Line(f"{path.stem}-{name}", "float32", (), "FAIL", f"{type(error).__name__}: {error}")
            continue
        passed = bool(found) and all(d.share <= 1 for d in found)
        yield Line(f"{path.stem}-{name}", "float32", found, "pass" if passed else "FAIL")


def seeds(data: Mapping[str, Any]) -> list[int]:
    return data["config"]["seeds"]


def clouds(data: Mapping[str, Any], seed: int) -> dict[str, Tensor]:
    return {"points": cloud(data["config"]["B"], data["config"]["N"], seed)}


def pixels(name: str, found: Tensor, want: Any, system: str) -> list[Difference]:
    """Equal but for a few pixels that rounding moves: their share, and the largest difference on the others."""
    want = torch.as_tensor(want, dtype=torch.float64)
    if found.shape != want.shape:
        raise ValueError(f"{name}: {list(found.shape)} instead of {list(want.shape)}")
    gap = (found.double() - want).abs()
    other = gap > 1e-4
    occupied = max(1, int((want != want.flatten()[0]).sum()))
    return [
        Difference(f"{name} moved pixels", int(other.sum()) / occupied, FLIPPED[system]),
        Difference(name, float(gap[~other].max()), RAW),
    ]


def sums(name: str, found: Tensor, want: Sequence[float], share: float = 1e-3) -> Difference:
    """Values of which a moved pixel changes a little: as a share of the largest."""
    wanted = torch.tensor(want, dtype=torch.float64)
    return close(name, found.double(), wanted, share * max(1.0, float(wanted.abs().max())))


def imported(layout: str, clip: Mapping[str, Tensor], state: Mapping[str, Tensor], **options: Any) -> JointModel:
    """A model by the importer; the CLIP beside the adapter comes from a file."""
    with tempfile.TemporaryDirectory(prefix="anyclip-parity-") as folder:
        file = Path(folder) / "clip.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in clip.items()}, file)
        model, _ = import_checkpoint_file(layout, state, options={"clip": str(file), **options})
    return model.eval()


def text_features(model: JointModel, sentences: Sequence[str]) -> Tensor:
    """Raw text features [C, D]."""
    processor = model.processor("text")
    inputs = processor.collate([processor.load(sentence) for sentence in sentences])
    return model.features("text", model.encode("text", inputs))


# PointCLIP


def pointclip(data: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Iterator[Case]:
    scale, stamps = data["weights"]["scale"], data["weights"]["fingerprint"]
    clip = drawn(data["state_dict"]["clip"], scale, stamps["clip"])
    adapter = drawn(data["state_dict"]["adapter"], scale, stamps["adapter"])
    options = {"points": data["config"]["N"]}
    plain, _ = import_checkpoint_file("pointclip", clip, options={"point": options})
    plain.eval()
    mixed = imported("pointclip", clip, adapter, point=options)
    for seed in seeds(data):
        for name, model in (("zero_shot_6views", plain), ("few_shot_10views", mixed)):
            yield f"{name}-seed{seed}", lambda n=name, m=model, s=seed: projected(data, arrays, m, n, s)
        yield f"zero_shot-seed{seed}", lambda s=seed: zero_shot(data, arrays, plain, clip["logit_scale"].exp(), s)
        yield f"adapter-seed{seed}", lambda s=seed: few_shot(data, arrays, mixed, clip["logit_scale"].exp(), s)


def projected(
    data: Mapping[str, Any], arrays: Mapping[str, np.ndarray], model: JointModel, name: str, seed: int
) -> list[Difference]:
    """The depth maps of one set of views."""
    tower: Any = model.tower("points")
    maps = tower.pictures(clouds(data, seed)["points"])
    recorded = data["outputs"]["projection"][name]
    want = recorded[f"seed{seed}"]
    whole = torch.zeros(maps.shape[1:])
    index = torch.from_numpy(arrays[f"{name}/seed{seed}/cloud0_flat_index"]).long()
    whole.view(-1)[index] = torch.from_numpy(arrays[f"{name}/seed{seed}/cloud0_value"])
    flat = maps.double().flatten(0, 1)
    place = torch.arange(flat.shape[-1], dtype=torch.float64)
    label = "rotation_matrices_transposed_used_as_points_at_R"
    return [
        close("rotations", tower.project.turn, recorded[label], 1e-7),
        *pixels("cloud 0", maps[0], whole, "pointclip"),
        sums("sum", flat.sum(dim=(1, 2)), want["per_view_sum"]),
        sums("occupied", (flat > 0).sum(dim=(1, 2)), want["per_view_nonzero"], 5e-3),
        sums("largest", flat.amax(dim=(1, 2)), want["per_view_max"], 1e-4),
        sums("rows", (flat.sum(dim=2) * place).sum(dim=1), want["per_view_first_moment_rows"]),
        sums("columns", (flat.sum(dim=1) * place).sum(dim=1), want["per_view_first_moment_cols"]),
    ]


def logits_of(features: Tensor, text: Tensor, scale: Tensor | float) -> Tensor:
    """Views [B, V, D] and raw text features [C, D] as the origin scores them: text repeated V times, normalised."""
    repeated = F.normalize(text.repeat(1, features.shape[1]), dim=-1)
    return scale * features.flatten(1) @ repeated.T


def zero_shot(
    data: Mapping[str, Any], arrays: Mapping[str, np.ndarray], model: JointModel, scale: Tensor, seed: int
) -> list[Difference]:
    want = data["outputs"]["zero_shot"][f"seed{seed}"]
    tower: Any = model.tower("points")
    inputs = clouds(data, seed)
    shown = tower.shown(tower.pictures(inputs["points"])).flatten(0, 1)
    encoding = model.encode("points", inputs)
    names = [name.replace("_", " ") for name in data["config"]["classes"]]
    text = text_features(model, [f"point cloud depth map of a {name}." for name in names])
    tokens = encoding.tokens
    assert tokens is not None
    weights = torch.tensor(data["config"]["vw6"])
    logits = logits_of(tokens, text, scale)
    # `pooled` is what a class is compared with: the same order of classes, one factor per row
    pooled = encoding.pooled @ F.normalize(text, dim=-1).T * scale / len(weights) ** 0.5
    return [
        *same_ends("picture", shown, want["resized_image_stat_B6x3x224x224"], 1e-5),
        close("features", tokens.flatten(1), arrays[f"zs/seed{seed}/concat_normalised_view_features"], UNIT),
        close("text", text, arrays["zs/text_features_unrepeated_unnormalised"], RAW),
        close("logits", logits, want["logits"], UNIT),
        close("logits of pooled", pooled, want["logits"], UNIT),
        close("weighted", logits_of(tokens * weights[:, None], text, scale), want["logits_with_view_weights"], UNIT),
    ]


def few_shot(
    data: Mapping[str, Any], arrays: Mapping[str, np.ndarray], model: JointModel, scale: Tensor, seed: int
) -> list[Difference]:
    """The inter-view adapter from the file's names, its parts, logits and label-smoothed loss."""
    want = data["outputs"]["few_shot_inter_view_adapter"][f"seed{seed}"]
    recorded = want["checkpoints"]
    tower: Any = model.tower("points")
    inputs = clouds(data, seed)
    raw = tower.seen_by(tower.image, tower.shown(tower.pictures(inputs["points"])))
    seen = tower.adapter.seen(raw)
    spread = tower.adapter.spread(tower.adapter.deepen(seen).relu()).relu()
    names = [name.replace("_", " ") for name in data["config"]["classes"]]
    text = text_features(model, [f"point cloud of a big {name}." for name in names])
    tokens = model.encode("points", inputs).tokens
    assert tokens is not None
    weights = torch.tensor(data["config"]["vw10"])
    logits = logits_of(tokens, text, scale)
    labels, classes = torch.tensor(data["config"]["labels"]), len(names)
    # the origin gives the other classes eps / (C - 1); PyTorch's smoothing gives every class eps / C
    loss = F.cross_entropy(logits, labels, label_smoothing=0.2 * classes / (classes - 1))
    return [
        close("visual", raw.flatten(0, 1), arrays[f"fs/seed{seed}/visual_features"], RAW),
        *same_ends("global", seen, recorded["adapter_global_feature"], RAW),
        *same_ends("view", spread, recorded["adapter_view_feature"], RAW),
        *same_ends("out", tower.adapter(raw).flatten(1), recorded["adapter_out_unnormalised"], RAW),
        close("features", tokens.flatten(1), arrays[f"fs/seed{seed}/final_normalised"], UNIT),
        close("logits", logits, want["logits"], UNIT),
        close("weighted", logits_of(tokens * weights[:, None], text, scale), want["logits_with_view_weights"], UNIT),
        close("loss", loss, want["smoothed_loss"], 1e-5),
    ]


# PointCLIP V2


def pointclip_v2(data: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Iterator[Case]:
    clip = drawn(data["state_dict"]["clip"], data["weights"]["scale"], data["weights"]["fingerprint"])
    point = {"points": data["config"]["N"], "view_weights": data["config"]["vw"]}
    model, _ = import_checkpoint_file("pointclip", clip, options={"tower": "pointclip_v2", "point": point})
    model.eval()
    for seed in seeds(data):
        yield f"pictures-seed{seed}", lambda s=seed: realistic(data, arrays, model, s)
        yield f"zero_shot-seed{seed}", lambda s=seed: zero_shot_v2(data, arrays, model, s)


def realistic(
    data: Mapping[str, Any], arrays: Mapping[str, np.ndarray], model: JointModel, seed: int
) -> list[Difference]:
    """The steps of the projection."""
    want, system = data["outputs"][f"seed{seed}"], "pointclip_v2"
    project: Any = model.tower("points").project
    grid = project.voxels(clouds(data, seed)["points"])
    dense = project.densify(grid)
    picture = project.squeeze(dense)
    first = torch.zeros(grid[0, 0].numel())
    index = torch.from_numpy(arrays[f"seed{seed}/grid_cloud0_view0_flat_index"]).long()
    first[index] = torch.from_numpy(arrays[f"seed{seed}/grid_cloud0_view0_value"])
    flat = picture.double().flatten(0, 1)
    place = torch.arange(flat.shape[-1], dtype=torch.float64)
    recorded = want["image"]
    cells = grid.flatten(0, 1)
    return [
        close("first rotation", project.turn, data["outputs"]["rotation_first_transposed"], 1e-6),
        close("second rotation", project.tilt, data["outputs"]["rotation_second_transposed"], 1e-6),
        close("gaussian", project.gauss[0, 0], data["outputs"]["gaussian_kernel_3x3"], 1e-7),
        *pixels("voxels of view 0", grid[0, 0].flatten(), first, system),
        sums("voxels", cells.sum(dim=(1, 2, 3)), want["grid"]["per_view_sum"]),
        sums("occupied voxels", (cells > 0).sum(dim=(1, 2, 3)), want["grid"]["per_view_nonzero"], 5e-3),
        sums("dense", dense.flatten(0, 1).sum(dim=(1, 2, 3)), want["densified"]["per_view_sum"], 5e-3),
        *pixels("view 0", picture[0, 0], arrays[f"seed{seed}/image_cloud0_view0"], system),
        *pixels("view 8", picture[0, 8, ::2, ::2], arrays[f"seed{seed}/image_cloud0_view8_every2nd"], system),
        *pixels("every view", picture[0, :, ::9, ::9], arrays[f"seed{seed}/image_cloud0_all_views_every9th"], system),
        sums("pictures", flat.sum(dim=(1, 2)), recorded["per_view_sum_one_channel"]),
        sums("rows", (flat.sum(dim=2) * place).sum(dim=1), recorded["per_view_first_moment_rows"]),
        sums("columns", (flat.sum(dim=1) * place).sum(dim=1), recorded["per_view_first_moment_cols"]),
    ]


def zero_shot_v2(
    data: Mapping[str, Any], arrays: Mapping[str, np.ndarray], model: JointModel, seed: int
) -> list[Difference]:
    want = data["outputs"][f"seed{seed}"]
    tower: Any = model.tower("points")
    inputs = clouds(data, seed)
    encoding = model.encode("points", inputs)
    text = text_features(model, data["inputs"]["prompts"])
    tokens = encoding.tokens
    assert tokens is not None
    shown = tower.shown(tower.pictures(inputs["points"])).flatten(0, 1)
    logits = logits_of(tokens * tower.view_weights[:, None], text, 100.0)
    pooled = 100 * encoding.pooled @ F.normalize(text, dim=-1).T / tokens.shape[1] ** 0.5
    return [
        close("view weights", tower.view_weights, data["config"]["view_weights"], 1e-9),
        *same_ends("picture", shown, want["image224_stat"], 1e-3),
        close("features", tokens, arrays[f"seed{seed}/features"], UNIT),
        close("text", text, arrays["text_features_unnormalised"], RAW),
        close("logits", logits, want["logits"], 1e-4),
        close("logits of pooled", pooled, want["logits"], 1e-4),
    ]


# CLIP2Point


def clip2point(data: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Iterator[Case]:
    for views in data["config"]["views"]:
        name = f"adapter_{views}views"
        state = drawn(data["state_dict"][name], data["weights"]["scale"], data["weights"]["fingerprint"][name])
        for seed in seeds(data):
            yield f"render_{views}views-seed{seed}", lambda v=views, s=seed: rendered(data, arrays, v, s)
            yield f"{name}-seed{seed}", lambda v=views, s=seed, t=state: adapted(data, v, t, s)


def tower_of(data: Mapping[str, Any], views: int) -> Any:
    vision = {"image_size": 64, "patch_size": 32, "width": 64, "layers": 1, "head_width": 64}
    image = {"name": "image/open_clip", "options": {"model": {"embed_dim": data["config"]["D"], "vision_cfg": vision}}}
    image["options"]["output"] = "projected"
    settings = {"radius": data["config"]["radius"], "turn": data["inputs"]["rot"], "points": data["config"]["N"]}
    tower = create_tower("pointcloud/clip2point", image=image, views=views, adapter=True, **settings)
    return tower.eval()


def rendered(data: Mapping[str, Any], arrays: Mapping[str, np.ndarray], views: int, seed: int) -> list[Difference]:
    tower = tower_of(data, views)
    maps = tower.pictures(clouds(data, seed)["points"])
    want = data["outputs"][f"render_{views}views/seed{seed}"]
    recorded = arrays[f"render_{views}views/seed{seed}/cloud0_channel0"]
    return [
        *pixels("cloud 0", maps[0, : len(recorded)], recorded, "clip2point"),
        sums("sum", maps.sum(dim=(2, 3)), want["per_view_sum_channel0_unnormalised"]),
        sums("covered", (maps < 1).sum(dim=(2, 3)), want["per_view_foreground_pixels"], 5e-3),
        close("smallest", maps.amin(dim=(2, 3)), want["per_view_min"], 1e-6),
        *same_ends("picture", tower.shown(maps), want["stat"], 1e-5),
    ]


def adapted(data: Mapping[str, Any], views: int, state: Mapping[str, Tensor], seed: int) -> list[Difference]:
    """The adapter of one path, from the file's names."""
    from anyclip_pointcloud.importers.view_adapters import SIMPLIFIED, renamed

    adapter = tower_of(data, views).adapters["image"]
    counters = {name: x for name, x in adapter.state_dict().items() if name.endswith("num_batches_tracked")}
    adapter.load_state_dict({**counters, **renamed(state, SIMPLIFIED, "")})
    found = adapter(randn((3 * views, data["config"]["D"]), seed).view(3, views, -1))
    return [close("out", found, data["outputs"][f"adapter_{views}views/seed{seed}"]["output"], UNIT)]
