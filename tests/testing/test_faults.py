"""The kit names every deliberate fault, and finds none in sound parts."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from anyclip.testing.conformance import CHECKS, checks_of
from anyclip.testing.kit import Outcome, run_check
from anyclip.testing.subjects import LossSubject, ReaderSubject, TowerSubject

_spec = importlib.util.spec_from_file_location("testing_parts", Path(__file__).with_name("conftest.py"))
parts = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(parts)

SLOW = {"exports", "compiles"}
# fault -> (check that names it, words of its message)
TOWERS = {
    "BatchLeak": ("rows_are_independent", "alone has another embedding"),
    "PaddingUsed": ("padding_is_ignored", "change the embedding"),
    "DeadParameter": ("gradient_reaches_every_parameter", "no gradient: unused.weight, unused.bias"),
    "WrongWidth": ("shapes_and_dtypes", r"shape \[4, 6\]; 4 rows of a tower of width 12"),
    "RandomCrop": ("evaluation_is_deterministic", "other inputs for the same values"),
    "RandomForward": ("evaluation_is_deterministic", "other embeddings in eval mode"),
    "Unpicklable": ("processor_pickles", "cannot be pickled"),
    "NaNForSilence": ("output_is_finite", "silence.*not finite"),
    "InfiniteSlope": ("output_is_finite", "gradient.*not finite"),
    "InPlace": ("inputs_are_left_alone", r"changes its inputs: inputs\['x'\]"),
    "FixedDevice": ("device_is_free", "mixes devices"),
    "NoMask": ("shapes_and_dtypes", "tokens come without a mask"),
    "StateLost": ("state_is_restored", "not in the state"),
    "HeavyProcessor": ("processor_holds_no_weights", "'net' is a Linear"),
    "GlobalAugmentation": ("augmentation_follows_its_generator", "same generator"),
    "SilentMask": ("forward_takes_what_it_names", "mask= is accepted and changes nothing"),
    "SilentLayers": ("forward_takes_what_it_names", "layers.*not returned"),
    "WrongGroups": ("layer_groups_are_real", "last.weight is in 0 layer groups"),
    "TrainingNoise": ("training_differs_only_by_layers_that_say_so", "no layer of the tower says why"),
    "Imprecise": ("bfloat16_is_close", "turns away"),
    "Crashing": ("broken_values_are_refused", "damaged bytes raises"),
    "Constant": ("values_matter", "same embedding"),
    "BadPlaceholder": ("placeholder_runs", "another sample each time"),
    "Locked": ("copies", "cannot be copied"),
    "RowsSecond": ("collate_keeps_rows", r"inputs\['scale'\] has shape \[1, 4\]"),
}
OPTIONS = {
    "heavy_options:Options": ("is_light", "loads torch"),
    "faulty_options:Silent": ("options_are_documented", "without a meaning: width"),
    "faulty_options:Demanding": ("options_have_defaults", "defaults are refused"),
    "faulty_options:Positional": ("options_are_documented", "positional"),
}
LOSSES = {
    "WrongSign": ("prefers_matches", "matching rows cost"),
    "OrderMatters": ("order_of_rows_is_free", "depends on the order"),
    "LocalMean": ("shares_add_up", "does not add up"),
    "DetachedScale": ("scale_and_bias_learn", "scale gets no gradient"),
    "DetachedSide": ("gradients_are_right", "finite differences"),
    "Overflows": ("large_scores_are_finite", "scale 100"),
    "InPlace": ("inputs_are_left_alone", "changes its inputs"),
    "PerRow": ("gives_a_number", r"is \[7\], not one number"),
    "Remembers": ("repeats", "second call"),
    "Lonely": ("few_rows_are_fine", "1 complete rows give"),
}
READERS = {
    "Wraps": ("access_is_random", "row 3 of 3 exists"),
    "Remembers": ("access_is_random", "another order"),
    "HiddenColumn": ("rows_are_mappings", "lacks: number"),
    "OpenFile": ("travels_to_workers", "cannot be pickled"),
    "Anonymous": ("names_are_stable", "same sample_id"),
    "Timed": ("fingerprint_is_stable", "another fingerprint"),
    "FindsAll": ("unknown_columns_are_not_found", "no_such_column"),
    "Traceback": ("missing_files_are_named", "FileNotFoundError"),
}


def outcomes(subject, *, slow: bool = False) -> dict[str, Outcome]:
    found = (run_check(c, subject) for c in checks_of(subject.kind) if slow or c.name not in SLOW)
    return {outcome.check: outcome for outcome in found}


def assert_named(found: dict[str, Outcome], check: str, words: str) -> None:
    outcome = found[check]
    assert outcome.status == "failed", {o.check: o.message for o in found.values() if o.status == "failed"}
    assert re.search(words, outcome.message, re.DOTALL), outcome.message
    assert outcome.mend


def tower_subject(name: str = "series/try", **more) -> TowerSubject:
    return TowerSubject(name, values=parts.series, **more)


def test_a_sound_tower_passes_everything(register):
    register(*parts.tower("Sound"))
    found = outcomes(tower_subject(promises=("exports", "compiles")), slow=True)
    assert {o.check: o.message for o in found.values() if o.status != "passed"} == {}


@pytest.mark.parametrize("fault", TOWERS)
def test_a_faulty_tower_is_named(fault, register):
    register(*parts.tower(fault))
    assert_named(outcomes(tower_subject()), *TOWERS[fault])


@pytest.mark.parametrize("options", OPTIONS)
def test_faulty_options_are_named(options, register):
    register(*parts.tower("Sound", options=options))
    assert_named(outcomes(tower_subject(options={"width": 4})), *OPTIONS[options])


def test_optional_checks_are_noted_and_fail_where_promised(register):
    register(*parts.tower("ValueBranch"))
    (check,) = [c for c in CHECKS["tower"] if c.name == "exports"]
    assert run_check(check, tower_subject()).status == "noted"
    assert run_check(check, tower_subject(promises=("exports",))).status == "failed"


def test_a_tower_that_does_not_build_fails_once(register):
    register(*parts.tower("Sound"))
    found = outcomes(tower_subject(options={"width": -3}))
    failed = {o.check for o in found.values() if o.status == "failed"}
    assert failed == {"builds"}
    assert found["rows_are_independent"].message == "the tower could not be built"


def test_a_modality_without_values_says_how_to_give_them(register):
    register(*parts.tower("Sound"))
    found = outcomes(TowerSubject("series/try"))
    assert "give `values(self, n)`" in found["shapes_and_dtypes"].mend


def test_a_sound_loss_passes_everything(register):
    register(parts.loss("Sound"))
    found = outcomes(LossSubject("try"))
    wrong = {o.check: o.message for o in found.values() if o.status not in ("passed", "skipped")}
    assert wrong == {}


@pytest.mark.parametrize("fault", LOSSES)
def test_a_faulty_loss_is_named(fault, register):
    register(parts.loss(fault))
    assert_named(outcomes(LossSubject("try")), *LOSSES[fault])


def test_a_sound_reader_passes_everything(register):
    register(parts.reader("Sound"))
    found = outcomes(ReaderSubject("try"))
    assert {o.check: o.message for o in found.values() if o.status != "passed"} == {}


@pytest.mark.parametrize("fault", READERS)
def test_a_faulty_reader_is_named(fault, register):
    register(parts.reader(fault))
    assert_named(outcomes(ReaderSubject("try")), *READERS[fault])
