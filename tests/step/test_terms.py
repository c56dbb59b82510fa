"""Terms of a pair, heads, fields, queues and teachers: how a config makes them, and what they keep."""

from __future__ import annotations

import pytest
import torch

from anyclip.config import config_from_dict
from anyclip.errors import ConfigError, UserError
from anyclip.model import build_model
from anyclip.objectives import build_objectives
from anyclip.step import Step, after_step, train_step
from anyclip.testing.exactness_parts import make_batch


def make(*objectives, dim=5, streams=("a", "b")):
    towers = {s: {"name": "toy/mlp", "options": {"size": 4, "width": 6}} for s in streams}
    config = config_from_dict({"model": {"dim": dim, "towers": towers}, "objectives": list(objectives)})
    model = build_model(config.model, seed=1)
    return model, build_objectives(config, model)


def refused(*objectives) -> str:
    with pytest.raises(ConfigError) as error:
        make(*objectives)
    return str(error.value)


EDGE = {"pair": ["a", "b"], "scale": {"init": 4.0}}


def test_a_term_has_the_scale_bias_and_similarity_of_the_loss_on_its_pair():
    edge = {**EDGE, "loss": "siglip", "similarity": "hyperbolic"}
    _, (term, loss) = make({"name": "distillation", "pair": ["a", "b"]}, edge)
    assert term.log_scale is loss.log_scale
    assert term.bias is loss.bias
    assert term.similarity is loss.similarity
    assert term.fields == ("teacher_a", "teacher_b")


def test_a_term_may_have_its_own():
    _, (loss, term) = make(EDGE, {"name": "distillation", "pair": ["a", "b"], "scale": {"init": 9.0, "max": 10.0}})
    assert term.log_scale is not loss.log_scale
    assert term.scale.item() == pytest.approx(9)
    term.log_scale.data.fill_(5.0)
    term.after_step()
    assert term.scale.item() == pytest.approx(10)


def test_a_term_beside_a_loss_on_tokens_compares_embeddings():
    _, (loss, term) = make({**EDGE, "similarity": "filip"}, {"name": "cyclic", "pair": ["a", "b"]})
    assert term.similarity is not loss.similarity
    assert "embedding" in term.similarity.needs


def test_terms_without_a_loss_stand_alone():
    _, (term,) = make({"name": "distillation", "pair": ["a", "b"], "scale": {"init": 2.0}})
    assert term.scale.item() == pytest.approx(2)


def test_mistakes_in_the_config_are_named():
    assert "distillation is a term of a pair: it needs two streams" in refused({"name": "distillation"})
    assert "has both pair and name" in refused(
        {"name": "ntxent", "pair": ["a", "b"], "options": {"streams": ["a", "b"]}}
    )
    assert "infonce reads no field 'label'. Did you mean labels?" in refused({**EDGE, "fields": {"label": "x"}})
    assert "c is not one of the pair" in refused({**EDGE, "heads": {"c": "mlp"}})
    assert "negatives" in refused({"name": "cyclic", "pair": ["a", "b"], "negatives": "all"})
    assert "streams takes two different views" in refused({"name": "ntxent", "options": {"streams": ["a"]}})
    cut = {"name": "self_distillation", "options": {"stream": "a", "teacher_stream": "a#1", "mask_ratio": 0.0}}
    with pytest.raises(ConfigError, match="runs towers again"):
        config_from_dict({"model": {"towers": {"a": "toy/mlp"}}, "objectives": [cut], "train": {"micro_batch": 4}})


def test_mistakes_that_need_the_parts_are_named():
    with pytest.raises(UserError, match=r"no field 'labels' is read with these options"):
        make({**EDGE, "fields": {"labels": "x"}})
    with pytest.raises(UserError, match="entailment needs a space with a root"):
        make(EDGE, {"name": "entailment", "pair": ["a", "b"]})
    with pytest.raises(UserError, match="masked_modelling needs a tower of token ids"):
        make(EDGE, {"name": "masked_modelling", "options": {"stream": "a"}})
    with pytest.raises(UserError, match="two views of one stream"):
        make({"name": "self_distillation", "options": {"stream": "a", "teacher_stream": "b"}})
    with pytest.raises(UserError, match="negatives: modality is not defined with heads"):
        make({**EDGE, "heads": {"b": "mlp"}, "negatives": "modality"})


def test_heads_are_trained_and_not_part_of_the_embedding():
    model, objectives = make({**EDGE, "heads": {"b": {"name": "mlp", "hidden": 7, "normalize_inputs": True}}})
    edge = objectives[0]
    assert edge.head(0) is None
    assert edge.head(1).layers[0].out_features == 7
    step = Step(model, objectives).double()
    before = model.embed("b", torch.ones(2, 4))
    train_step(step, make_batch("all", 1, 2, index=0, of=1), step=0)
    assert all(p.grad is not None and p.grad.any() for p in edge.head(1).parameters())
    torch.testing.assert_close(model.embed("b", torch.ones(2, 4)), before)
    names = [n for n, _ in objectives.named_parameters()]
    assert "0.heads.b.layers.0.weight" in names


def test_the_queue_drops_what_does_not_fit_and_begins_anew():
    _, (_, term) = make(EDGE, {"name": "nearest_neighbour", "pair": ["a", "b"], "options": {"size": 5}})
    assert torch.allclose(term.bank.norm(dim=1), torch.ones(5))
    rows = torch.arange(15.0).reshape(3, 5)
    term.enqueue(rows)
    assert int(term.pointer) == 3
    term.enqueue(rows + 100)
    assert int(term.pointer) == 0
    assert torch.equal(term.bank, torch.cat([rows, rows[:2] + 100]))
    term.enqueue(torch.ones(9, 5))
    assert int(term.pointer) == 0
    assert term.bank.eq(1).all()


def test_a_teacher_begins_as_its_tower_and_follows_it():
    entry = {"stream": "a", "teacher_stream": "a#1", "mask_ratio": 0.0, "decay": 0.75, "head": {"hidden": 3}}
    model, objectives = make(EDGE, {"name": "self_distillation", "options": entry})
    teacher = objectives[1].teachers["a"]
    with torch.no_grad():
        for parameter in model.tower("a").parameters():
            parameter.add_(1.0)
    objectives.begin(model)
    pairs = list(zip(teacher.parameters(), model.tower("a").parameters()))
    assert all(torch.equal(x, y) for x, y in pairs)
    assert teacher.processor is model.tower("a").processor
    step = Step(model, objectives).double().train()
    assert not teacher.training
    output = train_step(step, make_batch("all", 1, 2, index=0, of=1), step=0)
    assert all(x.grad is None for x, _ in pairs)
    with torch.no_grad():
        for _, new in pairs:
            new.add_(1.0)
    before = [x.clone() for x, _ in pairs]
    after_step(step, output)
    for (mine, new), old in zip(pairs, before):
        torch.testing.assert_close(mine, 0.75 * old + 0.25 * new)


def test_labels_in_words_are_labels():
    edge = {**EDGE, "loss": {"name": "infonce", "options": {"multi_positive": True}}, "fields": {"labels": "kind"}}
    assert make(edge)[1].fields == ["kind"]
    found = []
    for values in (["x", "y", "x", "z"], torch.tensor([4, 9, 4, 0])):
        model, objectives = make(edge)
        batch = make_batch("all", 1, 2, index=0, of=1)
        labels = list(values) * 3 + list(values)[:2] if isinstance(values, list) else values.repeat(4)[:14]
        batch.fields["kind"] = (torch.arange(14), labels)
        found.append(train_step(Step(model, objectives).double(), batch, step=0).loss)
    assert found[0] == found[1]
