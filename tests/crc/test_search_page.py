from __future__ import annotations

import re
from pathlib import Path

from slr.crc.pair_view import pair_view
from slr.crc.report import crc_report
from slr.crc.search_page import write_search_page
from slr.pages.heatmaps import MapPanel
from slr.runs.records import AnyRecord, CrcScore, CrcSelection
from tests.analysis.synthetic import NUM_LAYERS, crc_records, nothing_chosen

PAIR = "pair-one"
NUM_INTERVALS = NUM_LAYERS * (NUM_LAYERS + 1) // 2


def page_of(records: list[AnyRecord], directory: Path) -> str:
    path = directory / "page.html"
    write_search_page(path, crc_report(records, PAIR), records, "a command")
    return path.read_text(encoding="utf-8")


def rows(page: str, section: str) -> list[list[str]]:
    """The cells of a section's table."""
    (body,) = re.findall(rf'<section id="{section}">.*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in body.split("</tr>") if "<td" in row]


def test_the_page_has_the_choice_its_reasons_every_candidate_and_the_settings(tmp_path: Path) -> None:
    page = page_of(crc_records(PAIR), tmp_path)
    assert (
        "Restoring layers 1:2 of 3 brings the CRC diversity from 0.300 to 0.600 on the held-out prompts"
        in page
    )
    assert "the rule (at least 0.9) is kept there" in page
    assert "<pre>a command</pre>" in page
    candidates = rows(page, "candidates")
    assert len(candidates) == NUM_INTERVALS
    # What may be chosen comes first, although all the others are more diverse.
    assert candidates[0] == ["1:2", "1", "0.750", "0.600", "0.938 [0.935, 0.940]", "yes", "yes"]
    assert {row[5] for row in candidates[1:]} == {"no"}
    assert [row[0] for row in rows(page, "soups")] == ["0", "0.5", "1"]
    for setting in (
        "some/base_model at 0123456789abcdef",
        "LlamaForCausalLM",
        "1,234,567",
        "base weights were converted",
    ):
        assert f"<dd>{setting}</dd>" in page


def test_maps_have_every_interval_and_mark_the_choice_and_what_is_not_admitted() -> None:
    records = crc_records(PAIR)
    maps = pair_view(crc_report(records, PAIR), records).maps
    assert [(cell.start, cell.end) for cell in maps.cells] == [
        (start, end) for start in range(NUM_LAYERS) for end in range(start + 1, NUM_LAYERS + 1)
    ]
    assert maps.chosen == (1, 2)
    assert [cell.is_admitted for cell in maps.cells] == [(c.start, c.end) == (1, 2) for c in maps.cells]
    validity, diversity = maps.panels()
    # Base (0.1) and instruct (0.8) are on the scale too.
    assert [round(end, 9) for end in validity.limits] == [0.1, 0.8]
    assert [round(end, 9) for end in diversity.limits] == [0.3, 0.9]
    assert len(set(diversity.fills)) == 2


def test_a_search_that_chose_nothing_says_why(tmp_path: Path) -> None:
    records = nothing_chosen(crc_records(PAIR))
    page = page_of(records, tmp_path)
    assert "No layers were chosen: none: too low." in page
    assert 'class="star"' not in page
    assert '<p class="readout" aria-live="polite"></p>' in page


def test_undefined_diversity_is_no_number_and_no_colour(tmp_path: Path) -> None:
    records = [
        r.model_copy(update={"diversity": (None,) * 4})
        if isinstance(r, CrcScore) and r.interval == (0, 1)
        else r
        for r in crc_records(PAIR)
    ]
    page = page_of(records, tmp_path)
    assert page.count("<title>layers 0:1: validity 0.500, diversity n/a; not valid enough</title>") == 2
    assert rows(page, "candidates")[-1][:4] == ["0:1", "1", "0.500", "n/a"]
    assert MapPanel("a title", "viridis", [None, 0.5], []).fills[0] == "#ffffff"


def test_partial_restorations_are_candidates_with_their_alpha(tmp_path: Path) -> None:
    records = crc_records(PAIR)
    halves = [
        r.model_copy(update={"alpha": 0.5, "validity": (0.79,) * 4, "diversity": (0.55,) * 4})
        for r in records
        if isinstance(r, CrcScore) and r.interval is not None and r.prompt_set == "selection"
    ]
    both = [
        r.model_copy(update={"alphas": (1.0, 0.5)}) if isinstance(r, CrcSelection) else r
        for r in (*records, *halves)
    ]
    candidates = rows(page_of(both, tmp_path), "candidates")
    assert len(candidates) == 2 * NUM_INTERVALS
    assert {row[2] for row in candidates} == {"1", "0.5"}
    assert next(row[0] for row in candidates if row[2] == "1") == "1:2"
