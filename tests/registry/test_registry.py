"""Names, qualified names, and the errors of a part that cannot be used."""

from __future__ import annotations

import re

import pytest

from anyclip.errors import PluginError
from anyclip.registry import Part, PluginRow, Registry, get_registry, use_registry
from anyclip.registry.registry import installed_backends, resolve
from anyclip.specs import LossSpec, ModalitySpec, TowerSpec


def part(spec, dist="anyclip-mine"):
    return Part(spec, dist, "1.0")


def tower(name, target="anyclip.testing.toy:ToyTower", **more):
    return TowerSpec(name=name, target=target, summary="", **more)


def registry(*parts, **rows) -> Registry:
    by_dist: dict[str, PluginRow] = {}
    for p in parts:
        row = by_dist.setdefault(
            p.distribution, PluginRow(p.distribution.removeprefix("anyclip-"), p.distribution, "1.0")
        )
        row.parts.append(p)
    return Registry([*by_dist.values(), *rows.values()])


MINE = registry(part(tower("sound/cnn")), part(tower("sound/vit")), part(tower("sound/vit"), "anyclip-yours"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sound/cn", "unknown tower 'sound/cn'. Did you mean sound/cnn?\n  next: anyclip plugins"),
        ("soud/cnn", "unknown tower 'soud/cnn'. Did you mean sound/cnn?\n  next: anyclip plugins"),
        (
            "radar/cnn",
            "unknown tower 'radar/cnn'. No installed plugin brings the modality radar.\n"
            "  next: pip install anyclip-radar",
        ),
        ("their:sound/cnn", "unknown tower 'their:sound/cnn'. their is not installed.\n  next: pip install their"),
        (
            "anyclip-mine:sound/cn",
            "unknown tower 'anyclip-mine:sound/cn'. Did you mean anyclip-mine:sound/cnn?\n  next: anyclip plugins",
        ),
        (
            "sound/vit",
            "tower 'sound/vit' comes from anyclip-mine and anyclip-yours. Name the one you mean: "
            "anyclip-mine:sound/vit or anyclip-yours:sound/vit.\n  next: anyclip plugins",
        ),
        ("x", "unknown tower 'x'. Installed tower names: sound/cnn, sound/vit.\n  next: anyclip plugins"),
    ],
)
def test_error_of_a_name(name, message):
    with pytest.raises(PluginError) as caught:
        MINE.part("tower", name)
    assert str(caught.value) == message


def test_nothing_of_a_kind():
    with pytest.raises(PluginError, match=re.escape("unknown reader 'x'. Installed reader names: none installed.")):
        MINE.part("reader", "x")


@pytest.mark.parametrize("name", ["anyclip-yours:sound/vit", "Anyclip_Yours:sound/vit"])
def test_a_qualified_name_ends_a_clash(name):
    assert MINE.part("tower", name).distribution == "anyclip-yours"


def test_the_plugin_that_would_bring_it_is_broken():
    row = PluginRow(
        "radar", "anyclip-radar", "1.0", "failed", ["needs numpy>=9, but numpy 2 is installed"], "pip install it"
    )
    with pytest.raises(PluginError) as caught:
        registry(radar=row).part("tower", "radar/cnn")
    assert str(caught.value) == (
        "unknown tower 'radar/cnn'. Plugin anyclip-radar has a problem: needs numpy>=9, but numpy 2 is installed.\n"
        "  next: pip install it"
    )


def test_missing_optional_module():
    spec = LossSpec(name="rare", target="math:sin", summary="", requires=("math", "not_there_at_all.sub"))
    with pytest.raises(PluginError) as caught:
        registry(part(spec)).load("loss", "rare")
    assert str(caught.value) == (
        "loss 'rare' needs not_there_at_all.sub, which is not installed.\n  next: pip install not_there_at_all.sub"
    )


def test_target_that_is_not_there():
    with pytest.raises(PluginError) as caught:
        registry(part(tower("a/b", "math:sine"))).load("tower", "a/b")
    assert str(caught.value) == "math of anyclip-mine 1.0 has no 'sine'. Did you mean sin?"
    with pytest.raises(PluginError) as caught:
        registry(part(tower("a/b", "no_such_module:X"))).load("tower", "a/b")
    assert str(caught.value) == (
        "no_such_module:X of anyclip-mine 1.0 does not import: ModuleNotFoundError: No module named 'no_such_module'.\n"
        "  next: pip install --upgrade anyclip-mine"
    )


def test_target_that_exits_while_importing(tmp_path, monkeypatch):
    (tmp_path / "leaver.py").write_text("raise SystemExit('bye')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PluginError, match=re.escape("leaver:X does not import: SystemExit: bye.")):
        resolve("leaver:X")


def test_options_of_a_part_that_takes_none():
    with pytest.raises(PluginError, match=re.escape("similarity 'cosine' takes no options, but got power.")):
        get_registry().build_options("similarity", "cosine", {"power": 2})


def test_suffixes_may_be_claimed_twice():
    def modality(name, *suffixes):
        return part(ModalitySpec(name=name, summary="", suffixes=suffixes))

    found = registry(modality("film", ".mp4", ".avi"), modality("sound", ".mp4")).modalities_of_suffix(".MP4")
    assert [spec.name for spec in found] == ["film", "sound"]


def test_registry_can_be_replaced():
    with use_registry(MINE):
        assert get_registry() is MINE
    assert get_registry() is not MINE


def test_decoders_of_a_modality_that_are_installed():
    spec = ModalitySpec(name="sound", summary="", backends=("json", "no_such_decoder.sub"))
    assert installed_backends(spec) == {"json": True, "no_such_decoder.sub": False}
