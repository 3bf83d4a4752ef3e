from __future__ import annotations

import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import FancyBboxPatch

from slr.analysis.figures.concept import CONCEPT_LAYERS, CONCEPT_RESTORED, concept
from slr.analysis.figures.crc_heatmaps import crc_heatmaps
from slr.analysis.figures.crc_tradeoff import crc_tradeoff
from slr.analysis.figures.gap import add_note, gap
from slr.analysis.load_results import Results
from slr.figure_style import MODEL_COLORS, use_style
from tests.analysis.synthetic import crc_records


@pytest.fixture(autouse=True)
def style() -> None:
    use_style()


@pytest.fixture
def results() -> Results:
    return Results((*crc_records("pair-one"), *crc_records("pair-two")))


def test_concept_takes_only_the_restored_layers_from_the_base() -> None:
    axes = concept(Results(())).axes[0]
    colors = [to_hex(p.get_facecolor()).upper() for p in axes.patches if isinstance(p, FancyBboxPatch)]
    a_stack = CONCEPT_LAYERS + 2  # and embeddings and head
    instruct, hybrid, base = (colors[i * a_stack : (i + 1) * a_stack] for i in range(3))
    assert set(instruct) == {MODEL_COLORS["instruct"]}
    assert set(base) == {MODEL_COLORS["base"]}
    from_base = [layer for layer, color in enumerate(hybrid) if color == MODEL_COLORS["base"]]
    assert from_base == list(CONCEPT_RESTORED)
    texts = [text.get_text() for text in axes.texts]
    assert f"layers {CONCEPT_RESTORED.start}:{CONCEPT_RESTORED.stop}\nrestored" in texts


def test_a_row_of_heatmaps_a_pair(results: Results) -> None:
    titles = [axes.get_title() for axes in crc_heatmaps(results).axes if axes.images]
    assert titles == [
        f"{pair}: CRC {quantity}"
        for pair in ("pair-one", "pair-two")
        for quantity in ("validity", "diversity")
    ]


def test_a_panel_of_the_tradeoff_a_pair(results: Results) -> None:
    figure = crc_tradeoff(results)
    assert [axes.get_title() for axes in figure.axes[:2]] == ["pair-one", "pair-two"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(legend) == len(set(legend)) == 8


def test_a_gap_names_the_command() -> None:
    (text,) = gap("coverage", "slr run open_qa").axes[0].texts
    assert text.get_text() == "coverage: not measured yet\n\nrun: slr run open_qa"


def test_a_figure_says_what_it_lacks(results: Results) -> None:
    figure = crc_tradeoff(results)
    add_note(figure, "Missing: " + "many words " * 20)
    note = figure.get_suptitle()
    assert note.startswith("Missing: many words")
    assert "\n" in note
