"""Decoding, keys, previews and captions of scenes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from anyclip_text.modality import content_key, decode, preview
from anyclip_text.synthetic import render

from anyclip.errors import BadSample, DataError
from anyclip.readers import Blob
from anyclip.readers.scenes import FACTORS, Scene
from anyclip.registry import get_registry
from anyclip.registry.registry import resolve


def rng(seed=0):
    return np.random.Generator(np.random.Philox(seed))


def test_registered_without_torch():
    code = (
        "import sys; from anyclip.registry import get_registry; r = get_registry();"
        "s = r.modality('text'); assert s.string_is_value and s.suffixes == ('.txt',) and s.prompts == ();"
        "assert r.options_class('tower', 'text/open_clip') and r.options_class('tower', 'text/transformers');"
        "from anyclip.registry.registry import resolve;"
        "[resolve(t) for t in (s.decode, s.content_key, s.preview, s.synthetic)];"
        "bad = {'torch', 'transformers', 'open_clip', 'tokenizers'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_decode(tmp_path: Path):
    assert decode("a dog") == "a dog"
    assert decode("héllo".encode()) == "héllo"
    assert decode(Blob(b"\xef\xbb\xbfwith a mark", "x.txt")) == "with a mark"
    assert decode(np.str_("a dog")) == "a dog"
    (tmp_path / "a.txt").write_text("from a file\n")
    assert decode(tmp_path / "a.txt") == "from a file\n"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "text is empty"),
        (" \t\n", "text is empty"),
        (b"", "text is empty"),
        (7, "a text is a string, this is a int"),
        (None, "this is nothing"),
        (["a", "b"], "this is a list of 2 values"),
        (b"\xff\xfe", "text is not UTF-8: invalid start byte at byte 0"),
        ("broken \ud83d emoji", "half of a surrogate pair at character 7"),
        (Path("/nowhere/x.txt"), "cannot read /nowhere/x.txt"),
    ],
)
def test_bad_values(value, reason):
    with pytest.raises(BadSample) as caught:
        decode(value)
    assert reason in caught.value.reason


def test_content_key():
    assert content_key("a  dog\n") == content_key("a dog") == content_key(b"a dog")
    assert content_key("cafe\u0301") == content_key("café")
    assert content_key("a dog") != content_key("a Dog")


def test_preview_is_escaped_and_short():
    assert preview("<script>alert(1)</script>") == "<q>&lt;script&gt;alert(1)&lt;/script&gt;</q>"
    assert len(preview("x" * 100_000)) < 700


def scenes(n):
    generator = rng(1)
    for _ in range(n):
        yield Scene({name: str(generator.choice(values)) for name, values in FACTORS.items()})


def test_captions_mention_every_factor():
    for i, scene in enumerate(scenes(200)):
        caption = render(scene, rng(i))
        for name, value in scene.factors.items():
            assert value in caption, (name, value, caption)
        assert caption == render(scene, rng(i))
        assert render(scene, rng(), varied=False) == render(scene, rng(9), varied=False)


def test_captions_vary_in_words_and_order():
    scene = next(scenes(1))
    captions = {render(scene, rng(i)) for i in range(200)}
    assert len(captions) > 100
    first = {caption.find(scene.factors["timbre"]) < caption.find(scene.factors["shape"]) for caption in captions}
    assert first == {True, False}


def test_captions_of_some_factors():
    scene = Scene({"shape": "star", "colour": "red", "position": "centre", "unknown": "xyzzy"})
    assert render(scene, rng(), varied=False) == "a red star in the centre"
    assert render(scene, rng(), factors=["colour"], varied=False) == "a red shape"
    assert "xyzzy" not in render(scene, rng(3))
    assert render(Scene({}), rng()) == "something"
    assert render(Scene({"size": "small"}), rng(), varied=False) == "a small shape"
    with pytest.raises(DataError, match="Did you mean colour"):
        render(scene, rng(), factors=["color"])


def test_hook_renders_through_the_reader():
    from anyclip.readers.base import create_reader

    reader = create_reader("synthetic", {"size": 4, "streams": {"caption": {"options": {"varied": False}}}})
    caption = reader.value(0, "caption", modality="text")
    assert caption == render(reader.scene(0), rng(), varied=False)
    assert resolve(get_registry().modality("text").decode) is decode
