"""`class_prompts` and `paired_views`: their values by hand, and what they refuse."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from anyclip.config.schema import Config, ModelConfig, ObjectiveConfig, TowerConfig
from anyclip.data.digests import text_number
from anyclip.errors import ConfigError, UserError
from anyclip.model import build_model
from anyclip.objectives import build_objectives
from anyclip.testing.graph import Graph

N, E = 8, 6
CLASSES = ["ant", "bee", "cat"]
SETTINGS = {"stream": "a", "prompt_stream": "b", "classes": CLASSES, "scale": 12.0, "label_smoothing": 0.1}


def vectors(*names: str) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return {name: torch.randn(N, E, generator=g, dtype=torch.float64) for name in names}


def prompts_graph(monkeypatch) -> Graph:
    """The prompts' stream is taken as frozen: its tower is never run here."""
    monkeypatch.setattr(torch.nn.Module, "parameters", lambda self, recurse=True: iter(()))
    graph = Graph([{"name": "class_prompts", "options": SETTINGS}], ["a", "b"], dim=E)
    monkeypatch.undo()
    return graph


def test_cross_entropy_over_every_class(monkeypatch):
    graph = prompts_graph(monkeypatch)
    (objective,) = graph.objectives
    prototypes = F.normalize(torch.randn(3, E, generator=torch.Generator().manual_seed(1)), dim=-1)
    objective.prototypes.copy_(prototypes)
    x = vectors("a")
    truth = torch.arange(N) % 3
    want = F.cross_entropy(12 * F.normalize(x["a"], dim=-1) @ prototypes.double().T, truth, label_smoothing=0.1)
    names = torch.tensor([text_number(CLASSES[k]) for k in truth])
    for labels in (truth, names):
        total, _ = graph(x, fields={"label": labels})
        assert float(total) == pytest.approx(float(want), rel=1e-6)
    absent = torch.arange(N) % 2 == 0
    total, _ = graph(x, present={"a": absent}, fields={"label": truth})
    half = F.cross_entropy(
        12 * F.normalize(x["a"][absent], dim=-1) @ prototypes.double().T, truth[absent], label_smoothing=0.1
    )
    assert float(total) == pytest.approx(float(half), rel=1e-6)
    with pytest.raises(UserError, match="8 of 8 rows of a batch have a label that is none of the classes"):
        graph(x, fields={"label": truth - 5})


def test_prompts_are_embedded_once_before_the_run(monkeypatch):
    graph = prompts_graph(monkeypatch)
    (objective,) = graph.objectives
    seen = []

    class Sentences:
        def load(self, value):
            return value

        def collate(self, samples):
            seen.extend(samples)
            return samples

    monkeypatch.setattr(graph.model, "processor", lambda stream: Sentences())
    monkeypatch.setattr(
        graph.model,
        "embed",
        lambda stream, texts: F.normalize(torch.tensor([[len(t), 1.0, 0, 0, 0, 0] for t in texts])),
    )
    objective.begin(graph.model)
    assert seen == CLASSES
    want = F.normalize(torch.tensor([3.0, 1, 0, 0, 0, 0]), dim=0)
    torch.testing.assert_close(objective.prototypes, want.expand(3, E))


def test_a_prompt_stream_that_learns_is_refused():
    towers = {s: TowerConfig(name="toy/mlp", options={"size": 4, "width": 6}) for s in "ab"}
    config = Config(
        model=ModelConfig(dim=E, towers=towers), objectives=[ObjectiveConfig(name="class_prompts", options=SETTINGS)]
    )
    with pytest.raises(UserError, match="embeds its sentences once, but 'b' learns"):
        build_objectives(config, build_model(config.model))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"classes": ["ant", "ant"]}, "a name stands there twice"),
        ({"templates": ["a photo"]}, "holds {} for the class name"),
        ({"classes": ["ant"]}, "classes"),
    ],
)
def test_settings_that_cannot_be(changed, message):
    with pytest.raises((ConfigError, UserError), match=message):
        Graph([{"name": "class_prompts", "options": SETTINGS | changed}], ["a", "b"], dim=E)


def ntxent(a: torch.Tensor, b: torch.Tensor, temperature: float) -> torch.Tensor:
    """Chen et al. 2020, equation 1, row by row."""
    x = F.normalize(torch.cat([a, b]), dim=-1)
    terms = []
    for i in range(2 * N):
        others = [j for j in range(2 * N) if j != i]
        scores = x[i] @ x.T / temperature
        terms.append(scores[others].logsumexp(0) - scores[(i + N) % (2 * N)])
    return torch.stack(terms).mean()


@pytest.mark.parametrize("balance", [True, False])
def test_views_attract_and_their_mean_the_other(balance):
    settings = {"streams": ["a", "a#1"], "other_stream": "b", "temperature": 0.2, "balance": balance}
    graph = Graph([{"name": "paired_views", "options": settings}], ["a", "b"], dim=E)
    (objective,) = graph.objectives
    x = vectors("a", "a#1", "b")
    weight = 1.0
    if balance:
        objective.balance.data.fill_(1.5)
        weight = 1.5
    want = ntxent((x["a"] + x["a#1"]) / 2, x["b"], 0.2) + ntxent(x["a"], x["a#1"], 0.2) / weight**2
    want = want + (torch.log(torch.tensor(weight + 1)) if balance else 0)
    total, terms = graph(x)
    assert float(total.detach()) == pytest.approx(float(want), rel=1e-6)
    assert len(terms) == 2 + balance
