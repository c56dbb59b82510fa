"""`clip4clip_tight` and `xclip_prompts`: chunks, padding, other processes; the parts of `multi_grained`."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from anyclip.errors import UserError
from anyclip.similarities import create_similarity
from anyclip.towers import Encoding

SMALL = {
    "clip4clip_tight": {"dim": 8, "layers": 2, "heads": 2, "positions": 6},
    "xclip_prompts": {"dim": 8, "layers": 1, "heads": 2},
}


def similarity(name: str, **more):
    torch.manual_seed(0)
    found = create_similarity(name, **{**SMALL[name], **more}).eval()
    with torch.no_grad():
        for parameter in found.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return found


def sides(module, texts: int = 3, clips: int = 4, *, padding: float = 0.0):
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    mask = torch.arange(5)[None] < torch.tensor([5, 2, 1, 4])[:clips, None]
    tokens = torch.where(mask[..., None], draw(clips, 5, 8), torch.full((), padding))
    text = module.prepare(Encoding(pooled=torch.empty(texts, 8)), draw(texts, 8))
    return text, module.prepare(Encoding(pooled=torch.empty(clips, 8), tokens=tokens, mask=mask), draw(clips, 8))


@pytest.mark.parametrize("name", SMALL)
def test_chunks_of_pairs_give_the_same_scores_and_gradients(name):
    found = []
    for chunk in (100, 5, 1):
        module = similarity(name, chunk=chunk)
        text, clips = sides(module)
        scores = module.scores(text, clips)
        scores.square().sum().backward()
        found.append((scores.detach(), *(p.grad for p in module.parameters())))
    assert found[0][0].shape == (3, 4)
    for other in found[1:]:
        for one, two in zip(found[0], other):
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", SMALL)
def test_a_pairs_score_depends_on_that_pair_alone(name):
    module = similarity(name)
    text, clips = sides(module)
    whole = module.scores(text, clips)
    torch.testing.assert_close(module.scores(*sides(module, padding=9.0)), whole)
    for i in range(3):
        for j, real in enumerate([5, 2, 1, 4]):
            one = {k: x[i : i + 1] for k, x in text.items()}
            other = {k: x[j : j + 1, :real] if x.ndim > 2 or k == "mask" else x[j : j + 1] for k, x in clips.items()}
            torch.testing.assert_close(module.scores(one, other)[0, 0], whole[i, j])


@pytest.mark.parametrize("name", SMALL)
def test_a_process_without_rows_reaches_every_weight_and_tensor(name):
    module = similarity(name)
    text, clips = sides(module)
    text = {k: x[:0] for k, x in text.items()}
    clips = {k: x.requires_grad_() if x.is_floating_point() else x for k, x in clips.items()}
    scores = module.scores(text, clips)
    assert scores.shape == (0, 4)
    scores.sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in module.parameters())
    used = [x for k, x in clips.items() if x.is_floating_point() and k in ("frames", "patches")]
    assert all(x.grad is not None for x in used)


@torch.no_grad()
def test_tight_reads_the_order_of_frames_and_nothing_is_normalised():
    module = similarity("clip4clip_tight")
    text, clips = sides(module)
    turned = {**clips, "frames": clips["frames"].flip(1)}
    assert (module.scores(text, turned) - module.scores(text, clips))[:, 0].abs().min() > 1e-4
    longer = {**text, "sentence": 2 * text["sentence"]}
    assert (module.scores(longer, clips) - module.scores(text, clips)).abs().min() > 1e-4


def test_refusals():
    module = create_similarity("clip4clip_tight", **{**SMALL["clip4clip_tight"], "positions": 5})
    with pytest.raises(UserError, match=r"a row has 5 frames, the table 5 positions\. Set the option positions to 6"):
        module.scores(*sides(module))
    for name in SMALL:
        with pytest.raises(UserError, match="does not divide by 3"):
            create_similarity(name, **{**SMALL[name], "heads": 3})
    assert create_similarity("clip4clip_tight", dim=32, layers=1).blocks[0].attn.num_heads == 1


@torch.no_grad()
def test_multi_grained_takes_the_towers_own_mean_of_frames():
    options = {"dim": 8, "words": 2, "frames": 5}
    mean = create_similarity("multi_grained", **options)
    own = create_similarity("multi_grained", **options, video="features")
    generator = torch.Generator().manual_seed(2)
    words = Encoding(pooled=torch.empty(3, 8), tokens=torch.randn(3, 2, 8, generator=generator))
    frames = Encoding(pooled=torch.empty(4, 8), tokens=torch.randn(4, 5, 8, generator=generator))
    sentence, video = torch.randn(3, 8, generator=generator), torch.randn(4, 8, generator=generator)
    found = [s.parts(s.prepare(words, sentence), s.prepare(frames, video)) for s in (mean, own)]
    units = torch.nn.functional.normalize
    torch.testing.assert_close(found[1]["whole"], units(sentence, dim=-1) @ units(video, dim=-1).T)
    assert not torch.allclose(found[0]["whole"], found[1]["whole"])
    torch.testing.assert_close(found[0]["words_frames"], found[1]["words_frames"])
