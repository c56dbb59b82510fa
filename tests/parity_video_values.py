"""Weights, inputs and comparisons that the parity of every video system shares. See the README of the golden files."""

from __future__ import annotations

import json
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from parity_report import Line
from torch import Tensor, nn

from anyclip.checkpoint.importing import Imported, load_exactly
from anyclip.config import config_from_dict
from anyclip.model import JointModel, build_model
from anyclip.objectives import Objectives, build_objectives
from anyclip.testing.reference import Difference


def drawn(
    data: Mapping[str, Any], variant: str | None = None, kept: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Every tensor of a variant by its published name; float ones by the recipe. Raises ValueError for other values."""
    scale = data["weights"]["scale"]
    state: dict[str, Tensor] = {}
    for name, (shape, *flag) in _entries(data, variant).items():
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        value = torch.randn(shape, generator=generator) * scale
        kind = flag[0] if flag else ""
        if kind == "k":
            value = (kept or {}).get(name, torch.arange(shape[-1]).expand(shape))
        elif kind == "n":
            value = value + 1
        elif kind == "v":
            value = value.abs() + 1
        elif kind == "i":
            value = value + torch.eye(shape[0])
        state[name] = value
    stamp = data["weights"]["fingerprint"]
    stamp = stamp[variant] if variant else stamp
    floats = [x.double() for x in state.values() if x.is_floating_point()]
    total = float(sum(x.abs().sum() for x in floats))
    if sum(x.numel() for x in floats) != stamp["float_numel"] or abs(total / stamp["abs_sum_float64"] - 1) > 1e-7:
        raise ValueError(f"{data['system']}: this generator draws other weights than the reference's")
    return state


def _entries(data: Mapping[str, Any], variant: str | None) -> dict[str, Any]:
    """The state dict of a variant out of the union that the file lists."""
    if variant is None:
        return data["state_dict"]
    extra = {name: found.get("extra_entries_vs_meanP_2d", []) for name, found in data["outputs"].items()}
    others = {entry for entries in extra.values() for entry in entries} - set(extra[variant])
    return {name: entry for name, entry in data["state_dict"].items() if name not in others}


def token_ids(batch: int, length: int, vocabulary: int, seed: int) -> tuple[Tensor, Tensor]:
    """The formula of `inputs.tokens`: ids and mask [B, L]."""
    ids = torch.zeros(batch, length, dtype=torch.long)
    for b in range(batch):
        n = length - 2 - ((b + seed) % (length // 2))
        ids[b, 0] = vocabulary - 2
        for j in range(1, n - 1):
            ids[b, j] = 1 + (7 * b + 13 * j + 5 * seed) % (vocabulary - 3)
        ids[b, n - 1] = vocabulary - 1
    return ids, ids > 0


def opened(imported: Imported) -> tuple[JointModel, Objectives]:
    """The model and objectives of an import, in eval mode, every tensor accounted for."""
    config = config_from_dict(imported.config)
    with tempfile.TemporaryDirectory() as folder:
        for stream, write in imported.assets.items():
            (Path(folder) / stream).mkdir()
            write(Path(folder) / stream)
        model = build_model(config.model, assets=Path(folder), load_weights=False).eval()
    load_exactly(model, imported.state, where="reference")
    objectives = build_objectives(config, model).eval()
    scales = {n: x for n, x in objectives.state_dict().items() if n.endswith((".log_scale", ".bias"))}
    load_exactly(objectives, {**scales, **imported.objectives}, where="reference")
    return model, objectives


@contextmanager
def watched(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """What modules return while the context is open, by the name given."""
    found: dict[str, Tensor] = {}

    def keep(name: str):
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            found[name] = (output[0] if isinstance(output, tuple) else output).detach()

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def scored(model: JointModel, objectives: Objectives, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Scaled scores [texts, videos] of the first pair, its loss, and both sides as prepared."""
    edge: Any = objectives[0]
    sides = []
    for stream in edge.streams:
        encoding = model.encode(stream, inputs[stream])
        if "projected" in edge.similarity.needs:
            encoding = model.project_tokens(stream, encoding)
        sides.append(edge.similarity.prepare(encoding, model.features(stream, encoding)))
    scores = edge.similarity.scores(*sides)
    loss = edge.loss.from_scores(scores, scores.T, scale=edge.scale)
    return {"scores": scores * edge.scale, "loss": loss, "sides": sides, "scale": edge.scale}


def compared(name: str, found: Any, wanted: Any, tolerance: float) -> Difference:
    """Largest absolute difference of two arrays of one shape."""
    found, wanted = torch.as_tensor(found).double(), torch.as_tensor(wanted).double()
    if found.shape != wanted.shape:
        return Difference(f"{name} shape {list(found.shape)}", float("inf"), tolerance)
    return Difference(name, float((found - wanted).abs().max()), tolerance)


def statistics(name: str, found: Tensor, stat: Mapping[str, Any], tolerance: float) -> list[Difference]:
    """First and last values to `tolerance`; sums to 1e-6 of the sum of absolute values."""
    if list(found.shape) != stat["shape"]:
        return [Difference(f"{name} shape {list(found.shape)}", float("inf"), tolerance)]
    flat = found.contiguous().flatten().double()
    ends = [*stat["first4"], *stat["last4"]]
    near = 1e-6 * stat["abs_sum"]
    return [
        compared(f"{name} ends", torch.cat([flat[:4], flat[-4:]]), ends, tolerance),
        compared(f"{name} sum", flat.sum(), stat["sum"], near),
        compared(f"{name} sum of sizes", flat.abs().sum(), stat["abs_sum"], near),
    ]


def line(case: str, differences: Sequence[Difference]) -> Line:
    passed = all(d.share <= 1 for d in differences)
    return Line(case, "float32", differences, "pass" if passed and differences else "FAIL")


def word_tokenizer(folder: Path, size: int, **special: int) -> str:
    """A tokenizer folder of `size` words whose special tokens have the given ids; for models of made-up vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    names = {row: name for name, row in special.items()}
    vocabulary = {f"[{names[i]}]" if i in names else f"w{i}": i for i in range(size)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w1"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {f"{name}_token": f"[{name}]" for name in special}
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "w1", **settings})
    )
    return str(folder)
