"""The words of the models, and that the engine and the words name the same segments."""

import itertools

from segmentation.activity import STATES
from segmentation.engine import GROUP_COLUMNS
from segmentation.facts import MODEL_COLUMNS
from segmentation.models import GROUPS, MODELS, RF11, RF11_CELLS
from tests.segmentation.reference import RF11 as CELLS


def test_the_25_cells_of_rf11_are_covered_once_each_as_the_reference_has_them() -> None:
    covered = [(r, f, name) for name, (rs, fs) in RF11_CELLS.items() for r, f in itertools.product(rs, fs)]
    assert len(covered) == 25
    assert sorted(covered) == sorted((r, f + 1, name) for r, names in CELLS.items() for f, name in enumerate(names))


def test_every_cell_block_is_a_run_of_scores_so_that_a_range_describes_it() -> None:
    for rs, fs in RF11_CELLS.values():
        assert list(rs) == list(range(rs[0], rs[-1] + 1))
        assert list(fs) == list(range(fs[0], fs[-1] + 1))


def test_every_segment_has_a_chinese_name_and_advice_in_both_languages() -> None:
    for model, segments in {**MODELS, "groups": GROUPS}.items():
        names = [segment.name for segment in segments]
        assert len(set(names)) == len(names)
        for segment in segments:
            assert segment.chinese, (model, segment.name)
            assert len(segment.advice) > 20
            assert len(segment.advice_chinese) > 8
    assert {segment.name for segment in RF11} == set(RF11_CELLS)
    assert all(segment.group for segment in RF11)


def test_every_answer_of_a_model_has_its_words_and_the_groups_their_columns() -> None:
    assert tuple(segment.name for segment in GROUPS) == GROUP_COLUMNS
    assert set(STATES) == {segment.name for segment in MODELS["activity"]}
    assert set(MODELS) == set(MODEL_COLUMNS)
    for brand, personal in (("nesl", "nesl_personal"), ("nes", "nes_personal")):
        assert [s.name for s in MODELS[brand]] == [s.name for s in MODELS[personal]]
