"""ULIP and Uni3D against recorded values of their original code: `run(path, data)` yields the lines of one file.

Weights are drawn by the recipe of the reference folder's README, from the published names.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from parity_report import Line
from torch import Tensor, nn
from torch.nn import functional as F

from anyclip.checkpoint.importing import import_checkpoint_file
from anyclip.losses import create_loss
from anyclip.losses.base import Candidates
from anyclip.testing.reference import Difference
from anyclip.towers import Tower, create_tower

FEATURE = 1e-5  # absolute; what the reference folder found between float32 and float64 is below it, but for:
ROUNDED = {"pointnet2_ssg": 1e-4, "pointmlp": 1e-4}
SHARE = 1e-5  # of the sum of absolutes: sums, losses


def run(path: Path, data: Mapping[str, Any]) -> Iterator[Line]:
    """Every case of `ulip.json` or `uni3d.json`."""
    arrays = dict(np.load(path.with_suffix(".npz"), allow_pickle=False))
    cases = {"ulip": ulip_cases, "uni3d": uni3d_cases}[path.stem]
    for name, seed, case in cases(data, arrays):
        try:
            found = case()
        except Exception as error:
            yield Line(f"{path.stem}-{name}-{seed}", "float32", (), "FAIL", f"{type(error).__name__}: {error}")
            continue
        passed = all(d.share <= 1 for d in found)
        yield Line(f"{path.stem}-{name}-{seed}", "float32", found, "pass" if passed else "FAIL")


Cases = Iterator[tuple[str, str, Callable[[], list[Difference]]]]


def drawn(entries: Mapping[str, list[Any]], scale: float, stamp: Mapping[str, float]) -> dict[str, Tensor]:
    """Published name -> tensor, by the recipe; compared with the fingerprint. Raises ValueError."""
    state = {}
    for name, (shape, *flags) in entries.items():
        if flags and flags[0] == "k":
            continue
        value = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode()))) * scale
        flag = flags[0] if flags else ""
        state[name] = value.abs() + 1 if flag == "v" else value + 1 if flag == "n" else value
    total = sum(float(value.double().abs().sum()) for value in state.values())
    if not math.isclose(total, stamp["abs_sum_float64"], rel_tol=1e-6):
        raise ValueError(f"this generator draws other weights: {total} instead of {stamp['abs_sum_float64']}")
    return state


def cloud(rows: int, points: int, seed: int) -> Tensor:
    """[rows, points, 3], centred, farthest point at 1: the formula of the files."""
    sizes = torch.tensor([1.0, 0.6, 0.3] if seed % 2 else [0.4, 0.2, 1.0])
    p = torch.randn((rows, points, 3), generator=torch.Generator().manual_seed(seed)) * sizes
    p = p - p.mean(1, keepdim=True)
    return p / p.norm(dim=2).amax(1)[:, None, None]


def colours(rows: int, points: int, seed: int) -> Tensor:
    return torch.rand((rows, points, 3), generator=torch.Generator().manual_seed(seed + 1000))


def randn(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def filled(tower: Tower, state: Mapping[str, Tensor], prefix: str = "") -> Tower:
    """The tower with tensors of its network's names; counters stay."""
    own = tower.model.state_dict()  # type: ignore[union-attr]
    given = {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
    counters = {name: value for name, value in own.items() if name.endswith("num_batches_tracked")}
    tower.model.load_state_dict({**counters, **given})  # type: ignore[union-attr]
    return tower.eval()


class Watch:
    """Keeps the outputs of submodules of a network while it runs, by their label."""

    def __init__(self, model: Any, names: Mapping[str, str]):
        self.seen: dict[str, Any] = {}
        self.handles = [
            model.get_submodule(name).register_forward_hook(self._keep(label)) for label, name in names.items()
        ]

    def _keep(self, label: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            self.seen.setdefault(label, output)

        return hook

    def __enter__(self) -> dict[str, Any]:
        return self.seen

    def __exit__(self, *error: object) -> None:
        for handle in self.handles:
            handle.remove()


def close(name: str, found: Tensor, want: Any, tolerance: float = FEATURE) -> Difference:
    want = torch.as_tensor(want, dtype=torch.float64)
    if found.shape != want.shape:
        raise ValueError(f"{name}: {list(found.shape)} instead of {list(want.shape)}")
    return Difference(name, float((found.double() - want).abs().max()), tolerance)


def same_ends(name: str, found: Tensor, want: Mapping[str, Any], tolerance: float) -> list[Difference]:
    """Sums and first and last values of a recorded tensor."""
    if list(found.shape) != want["shape"]:
        raise ValueError(f"{name}: {list(found.shape)} instead of {want['shape']}")
    flat = found.double().flatten()
    parts = {"sum": (flat.sum(), want["sum"]), "abs_sum": (flat.abs().sum(), want["abs_sum"])}
    allowed = max(SHARE, tolerance) * want["abs_sum"]
    differences = [Difference(f"{name} {part}", abs(float(a) - b), allowed) for part, (a, b) in parts.items()]
    for part, values in (("first4", flat[:4]), ("last4", flat[-4:])):
        if part in want:
            size = max(1.0, max(abs(v) for v in want[part]))
            differences.append(close(f"{name} {part}", values, want[part], tolerance * size))
    return differences


def equal(name: str, found: Any, want: Any) -> Difference:
    return Difference(name, float(list(found) != list(want)), 0.5)


# ULIP


def ulip_cases(data: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Cases:
    scale, stamps = data["weights"]["scale"], data["weights"]["fingerprint"]
    for name in ("pointbert_xyz", "pointbert_colored", "pointnet2_ssg", "pointmlp"):
        scale = data["weights"]["scale_pointmlp" if name == "pointmlp" else "scale"]
        state = drawn(data["state_dict"][name], scale, stamps[name])
        for seed in data["config"]["seeds"]:
            want = data["outputs"][name][f"seed{seed}"]
            feature = arrays[f"{name}/seed{seed}/feature"]
            yield (
                name,
                f"seed{seed}",
                lambda n=name, s=seed, w=want, f=feature, t=state: ulip_tower(data, n, s, w, f, t),
            )
    entries = {f"point_encoder.{k}": v for k, v in data["state_dict"]["pointbert_xyz"].items()}
    entries |= data["state_dict"]["ulip_with_image"]
    state = drawn(entries, data["weights"]["scale"], stamps["ulip_with_image"])
    for seed in data["config"]["seeds"]:
        yield "whole", f"seed{seed}", lambda s=seed: ulip_whole(data, arrays, state, s)


def ulip_tower_of(data: Mapping[str, Any], name: str) -> Tower:
    """The tower with the sizes of the file."""
    config = data["config"]
    if name.startswith("pointbert"):
        sizes = {k: v for k, v in config["pb"].items() if k not in ("cls_dim", "drop_path_rate")}
        sizes |= {"points": config["N"], "colors": name.endswith("colored")}
        return create_tower("pointcloud/pointbert", **sizes)
    if name == "pointmlp":
        sizes = {k: v for k, v in config["mlp"].items() if k not in ("groups", "normalize")}
        return create_tower("pointcloud/pointmlp", affine=config["mlp"]["normalize"], **sizes)
    return create_tower("pointcloud/pointnet2", points=config["N_pn"])


WATCHED = {
    "pointbert": {
        "patch_encoder": "encoder",
        "reduce_dim": "reduce_dim",
        "pos_embed": "pos_embed",
        "block0": "blocks.blocks.0",
        "final_norm": "norm",
    },
    "pointnet2": {"sa1": "sa1", "sa2": "sa2", "sa3": "sa3"},
    "pointmlp": {"embedding": "embedding", "pre0": "pre_blocks_list.0", "pos_last": "pos_blocks_list.3"},
}


def ulip_tower(
    data: Mapping[str, Any],
    name: str,
    seed: int,
    want: Mapping[str, Any],
    feature: np.ndarray,
    state: dict[str, Tensor],
) -> list[Difference]:
    from anyclip_pointcloud.ops import farthest_point_sample, gather
    from anyclip_pointcloud.pointbert_patches import patches

    tower = filled(ulip_tower_of(data, name), state)
    family, tolerance = name.split("_")[0], ROUNDED.get(name, FEATURE)
    points = data["config"][{"pointbert": "N", "pointnet2": "N_pn", "pointmlp": "Nm"}[family]]
    inputs = {"points": cloud(data["config"]["B"], points, seed)}
    if name == "pointbert_colored":
        inputs["colors"] = colours(data["config"]["B"], points, seed)
    with torch.no_grad(), Watch(tower.model, WATCHED[family]) as seen:
        pooled = tower(inputs).pooled
    found = [close("feature", pooled, feature, tolerance)]
    checkpoints = want["checkpoints"]
    if family == "pointbert":
        chosen = farthest_point_sample(inputs["points"], data["config"]["pb"]["num_group"])
        found.append(equal("fps", chosen[0].tolist(), want["fps_indices_cloud0"]))
        sizes = data["config"]["pb"]["num_group"], data["config"]["pb"]["group_size"]
        seen["centers_BxGx3"], seen["neighbourhood_BxGxMxC"] = patches(
            inputs["points"], inputs.get("colors"), *sizes, skip_origin=True
        )
    elif family == "pointnet2":
        (centres, first), (_, second), (_, third) = seen.pop("sa1"), seen.pop("sa2"), seen.pop("sa3")
        seen |= {"sa1_xyz": centres, "sa1_features": first, "sa2_features": second, "sa3_global": third}
        seen = {label: value.transpose(1, 2) for label, value in seen.items()}
    else:
        points = inputs["points"]
        seen["group0_centres"] = gather(points, farthest_point_sample(points, points.shape[1] // 2))
    for label, recorded in checkpoints.items():
        found += same_ends(label, seen[label], recorded, tolerance)
    return found


def tokens(rows: int, length: int, vocabulary: int, seed: int) -> Tensor:
    """The captions' ids, by the formula of the files."""
    ids = torch.zeros(rows, length, dtype=torch.int64)
    for b in range(rows):
        n = length - 2 - ((b + seed) % (length // 2))
        ids[b, 0], ids[b, n - 1] = vocabulary - 2, vocabulary - 1
        for j in range(1, n - 1):
            ids[b, j] = 1 + (7 * b + 13 * j + 5 * seed) % (vocabulary - 3)
    return ids


def ulip_whole(
    data: Mapping[str, Any], arrays: Mapping[str, np.ndarray], state: dict[str, Tensor], seed: int
) -> list[Difference]:
    """The imported model: features of the three towers and the loss of ULIP."""
    config, want = data["config"], data["outputs"]["ulip_with_image"][f"seed{seed}"]
    model, imported = import_checkpoint_file(
        "ulip",
        state,
        options={
            "point": {"points": config["N"], "num_heads": config["pb"]["num_heads"], "num_group": 24, "group_size": 16},
            "image_heads": config["vis"]["num_heads"],
            "text_heads": config["ulip"]["transformer_heads"],
            "text_tokenizer": "bytes",  # CLIP's has more ids than the file's vocabulary
        },
    )
    text: Any = model.tower("text").model
    text.pool_type = "argmax"  # the ids are the file's, their largest is the end
    scale = imported.objectives[0].scale
    assert scale is not None
    rows = config["Bt"]
    with torch.no_grad():
        points = model.features("points", model.encode("points", {"points": cloud(rows, config["N"], seed)}))
        side = config["vis"]["img_size"]
        pixels = randn((rows, 3, side, side), seed)
        images = model.features("image", model.encode("image", {"pixels": pixels}))
        sizes = config["ulip"]["context_length"], config["ulip"]["vocab_size"]
        ids = tokens(rows * config["caps"], *sizes, seed)
        texts = F.normalize(model.features("text", model.encode("text", {"ids": ids, "mask": ids > 0})), dim=-1)
        texts = F.normalize(texts.view(rows, config["caps"], -1).mean(dim=1), dim=-1)
    found = [
        close("pc_embed", points, arrays[f"ulip/seed{seed}/pc_embed"]),
        close("image_embed", images, arrays[f"ulip/seed{seed}/image_embed"], 2e-5),
        close("text_embed", texts, arrays[f"ulip/seed{seed}/text_embed"]),
        close("loss", two_pairs(points, texts, images, want["logit_scale"]), want["loss"]),
        close("logit_scale", torch.tensor(scale.init), want["logit_scale"]),
        close("pc_text_acc", accuracy(points, texts), want["pc_text_acc"], 1e-4),
        close("pc_image_acc", accuracy(points, images), want["pc_image_acc"], 1e-4),
    ]
    a, b, c = (randn((6, 32), s) for s in (seed, seed + 1, seed + 2))
    label = next(name for name in want if name.startswith("loss_on_randn"))
    return [*found, close(label, two_pairs(a, b, c, 1 / 0.07), want[label], 1e-5 * want[label])]


def two_pairs(points: Tensor, texts: Tensor, images: Tensor, scale: float) -> Tensor:
    """ULIP's loss: the sum of the two pairs' InfoNCE, one scale."""
    loss = create_loss("infonce")
    total = torch.zeros((), dtype=torch.float64)
    for other in (texts, images):
        scores = F.normalize(points.double(), dim=-1) @ F.normalize(other.double(), dim=-1).T
        total = total + loss.from_scores(scores, scores.T, scale=torch.tensor(scale, dtype=torch.float64))
    return total


def accuracy(points: Tensor, others: Tensor) -> Tensor:
    """Percent of rows whose own vector is the nearest."""
    nearest = (F.normalize(points, dim=-1) @ F.normalize(others, dim=-1).T).argmax(dim=1)
    return (nearest == torch.arange(len(points))).float().mean() * 100


# Uni3D


def uni3d_cases(data: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Cases:
    for name, entries in data["state_dict"].items():
        state = drawn(entries, data["weights"]["scale"], data["weights"]["fingerprint"][name])
        for seed in data["config"]["seeds"]:
            yield name, f"seed{seed}", lambda n=name, s=seed, t=state: uni3d_case(data, arrays, n, t, s)


ARGS: dict[str, tuple[str, dict[str, Any]]] = {
    "eva02_like_swiglu_unfused_qkv": ("eva02_tiny_patch14_224", {"qkv_fused": False}),
    "eva_giant_like_fused_qkv_gelu": ("eva_giant_patch14_560", {"img_size": 28}),
    "eva02_base_like_swiglu_subnorm_unfused_qkv": ("eva02_base_patch14_448", {}),
    "eva02_tiny_like_swiglu_fused_qkv": ("eva02_tiny_patch14_224", {}),
}


def uni3d_case(
    data: Mapping[str, Any], arrays: Mapping[str, np.ndarray], name: str, state: dict[str, Tensor], seed: int
) -> list[Difference]:
    """The imported tower, its intermediate values, and Uni3D's loss with images that are and are not masked."""
    from anyclip_pointcloud.ops import farthest_point_sample

    config, want = data["config"], data["outputs"][name][f"seed{seed}"]
    timm_name, args = ARGS[name]
    args = {**args, "embed_dim": config["width"], "depth": config["depth"], "num_heads": config["heads"]}
    sizes = {"points": config["N"], "num_group": config["num_group"], "group_size": config["group_size"]}
    model, _ = import_checkpoint_file("uni3d", state, options={"point": {"model": timm_name, "args": args, **sizes}})
    network = model.tower("points").model
    points = cloud(config["B"], config["N"], seed)
    inputs = {"points": points, "colors": colours(config["B"], config["N"], seed)}
    names = {"patch_encoder": "encoder", "encoder2trans": "encoder2trans", "pos_embed": "pos_embed"}
    names |= {"block0": "visual.blocks.0", "block_last": f"visual.blocks.{config['depth'] - 1}"}
    names["fc_norm"] = "visual.fc_norm"
    with torch.no_grad(), Watch(network, names) as seen:
        features = model.features("points", model.encode("points", inputs))
    seen["fc_norm"] = seen["fc_norm"][:, 0]
    chosen = farthest_point_sample(points, config["num_group"])
    seen["centers_BxGx3"] = points.gather(1, chosen[:, :, None].expand(-1, -1, 3))
    found = [close("pc_embed", features, arrays[f"{name}/seed{seed}/pc_embed"])]
    found.append(equal("fps", chosen[0].tolist(), want["fps_indices_cloud0"]))
    for label, recorded in want["checkpoints"].items():
        found += same_ends(label, seen[label], recorded, FEATURE)
    texts, images = randn(tuple(features.shape), seed + 1), randn(tuple(features.shape), seed + 2)
    total = two_pairs(features, texts, images, want["logit_scale"])
    found.append(close("loss_all_images", total, want["loss_all_images"]))
    masked = without_first_image(features, texts, images, want["logit_scale"])
    found.append(close("loss_first_image_masked", masked, want["loss_first_image_masked"]))
    return [*found, close("logit_scale", state["logit_scale"].exp(), want["logit_scale"])]


def without_first_image(points: Tensor, texts: Tensor, images: Tensor, scale: float) -> Tensor:
    """Row 0 has no image: it is no query of that pair and stays among its candidates."""
    loss, own = create_loss("infonce"), torch.arange(1, len(points))
    unit = [F.normalize(x.double(), dim=-1) for x in (points, texts, images)]
    scores = unit[0] @ unit[1].T
    text_term = loss.from_scores(scores, scores.T, scale=scale)
    sides = [Candidates({"embedding": unit[i]}, own) for i in (0, 2)]
    image_term = loss.wide_share(
        sides[0], sides[1], slice(0, len(own)), score=lambda a, b: a["embedding"] @ b["embedding"].T, scale=scale
    )
    return text_term + image_term


def main() -> None:
    """The lines of both files of a folder: `python tests/parity_pointcloud_points.py FOLDER`."""
    import sys

    for path in (Path(sys.argv[1]) / "ulip.json", Path(sys.argv[1]) / "uni3d.json"):
        for line in run(path, json.loads(path.read_text())):
            print(line, flush=True)


if __name__ == "__main__":
    main()
