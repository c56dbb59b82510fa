"""Short spellings of a config and their long form."""

from __future__ import annotations

from typing import Any

from anyclip.config.schema import HeadConfig, Named, ProjectionConfig

# sections whose value may be the bare name of a part or setting: `schedule: cosine`
_NAME_ONLY = ("optimizer", "schedule")


def named(value: Named | str) -> Named:
    """`infonce` -> Named(name="infonce")."""
    return Named(name=value) if isinstance(value, str) else value


def head(value: HeadConfig | str) -> HeadConfig:
    """`mlp` -> HeadConfig(name="mlp")."""
    return HeadConfig(name=value) if isinstance(value, str) else value  # type: ignore[arg-type]


def projection(value: ProjectionConfig | str) -> ProjectionConfig:
    """`mlp` -> ProjectionConfig(name="mlp")."""
    return ProjectionConfig(name=value) if isinstance(value, str) else value  # type: ignore[arg-type]


def normalize(data: dict[str, Any]) -> dict[str, Any]:
    """Spell out the short forms, keeping the places of list items; what fits no form stays for the checks to refuse.

    An empty section counts as absent; a name stands for `{name: ...}` in towers, datasets, sampler, evaluations,
    optimizer and schedule.
    """
    data = {key: value for key, value in data.items() if value is not None}
    for key in _NAME_ONLY:
        if key in data:
            data[key] = _by_name(data[key])
    if isinstance(data.get("eval"), list):
        data["eval"] = [_by_name(item) for item in data["eval"]]
    model = data.get("model")
    if isinstance(model, dict) and isinstance(model.get("towers"), dict):
        towers = {stream: _by_name(tower) for stream, tower in model["towers"].items()}
        data["model"] = {**model, "towers": towers}
    section = data.get("data")
    if isinstance(section, dict):
        lists = {
            k: [_by_name(s) for s in v] for k, v in section.items() if k in ("train", "val") and isinstance(v, list)
        }
        if section.get("sampler") is not None:
            lists["sampler"] = _by_name(section["sampler"])
        data["data"] = {**section, **lists}
    return data


def _by_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value
