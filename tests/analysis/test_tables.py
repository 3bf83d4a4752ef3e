from __future__ import annotations

import csv
import io

import pytest

from slr.analysis.figures import captions
from slr.analysis.load_results import Results
from slr.analysis.page.index import table_html
from slr.analysis.page.section import ShownTable
from slr.analysis.tables.best_intervals import best_intervals
from slr.analysis.tables.by_category import by_category
from slr.analysis.tables.crc_prompts import crc_prompts
from slr.analysis.tables.models import models
from slr.analysis.tables.runs import runs
from slr.analysis.tables.search_cost import search_cost
from slr.analysis.tables.selected_intervals import selected_intervals
from slr.analysis.tables.selection_reasons import selection_reasons
from slr.analysis.tables.table import NO_INTERVAL_NOTE, UNDEFINED_NOTE, PValue, Table, p_cell
from slr.runs.records import CrcScore, CrcSelection, SearchCost
from slr.statistics.uncertainty import Estimate
from tests.analysis.synthetic import crc_records, nothing_chosen


@pytest.fixture
def results() -> Results:
    return Results(tuple(crc_records("pair-one")))


def rows_of(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table.csv())))


def test_selected_intervals(results: Results) -> None:
    rows = rows_of(selected_intervals(results))
    assert [(row["model"], row["prompts"]) for row in rows] == [
        (model, prompts)
        for prompts in ("selection", "held-out")
        for model in ("base, few-shot", "base, in the template", "instruct", "SLR hybrid", "soup")
    ]
    hybrid = rows[3]
    assert (hybrid["choice"], hybrid["layers restored"]) == ("layers 1:2", "1 of 3")
    assert float(hybrid["validity"]) == pytest.approx(0.75)
    assert 0.7 <= float(hybrid["validity low"]) < 0.75 < float(hybrid["validity high"]) <= 0.8
    assert float(hybrid["diversity less instruct's"]) == pytest.approx(0.3)
    assert rows[2]["diversity less instruct's"] == ""
    assert rows[4]["choice"] == "alpha 0"
    assert float(hybrid["validity / instruct's"]) == pytest.approx(0.75 / 0.8)
    assert (
        float(hybrid["validity / instruct's low"]) < 0.75 / 0.8 < float(hybrid["validity / instruct's high"])
    )
    assert [row["rule kept"] for row in rows] == ["", "", "", "kept", "kept"] * 2
    assert rows[2]["validity / instruct's"] == ""
    assert "The rule: validity at least 0.9 x the instruct model's." in selected_intervals(results).caption


def test_a_rule_missed_on_held_out_prompts_is_in_tables_and_captions(results: Results) -> None:
    """Held-out validity of the hybrid 0.64, of the instruct model 0.8."""
    records = [
        record.model_copy(update={"validity": (0.63, 0.64, 0.64, 0.65)})
        if isinstance(record, CrcScore) and (record.model, record.prompt_set) == ("hybrid", "held_out")
        else record
        for record in results.records
    ]
    results = Results(tuple(records))
    assert [row["rule kept"] for row in rows_of(selected_intervals(results))][3::5] == ["kept", "missed"]
    interval, soup = rows_of(selection_reasons(results))
    assert float(interval["validity / instruct's, held-out"]) == pytest.approx(0.8)
    assert (interval["rule kept, held-out"], soup["rule kept, held-out"]) == ("missed", "kept")
    for caption in (captions.crc_heatmaps(results), captions.crc_tradeoff(results)):
        assert "SLR hybrid's validity over instruct's: 0.938 [" in caption
        assert "on selection prompts (rule kept), 0.800 [" in caption
        assert "on held-out prompts (rule missed)" in caption
        assert "(validity at least 0.9 x the instruct model's)" in caption
    assert "soup's validity over instruct's: 1.000 on selection" in captions.crc_tradeoff(results)


def test_a_pair_with_choices_by_two_rules_is_in_the_table_once(results: Results) -> None:
    (choice,) = [record for record in results.records if isinstance(record, CrcSelection)]
    other = choice.model_copy(update={"margin": True, "interval": (0, 1)})
    both = Results((other, *results.records))
    assert selected_intervals(both) == selected_intervals(results)


def test_nothing_chosen_is_no_number(results: Results) -> None:
    results = Results(tuple(nothing_chosen(results.records)))
    rows = rows_of(selected_intervals(results))
    hybrid = next(row for row in rows if row["model"] == "SLR hybrid")
    assert (hybrid["choice"], hybrid["layers restored"]) == ("none is valid enough", "0 of 3")
    assert (hybrid["validity"], hybrid["validity low"], hybrid["diversity"]) == ("", "", "")
    reasons = selection_reasons(results).markdown()
    assert "| pair-one | interval | none | none: too low |" in reasons


def test_categories_apart(results: Results) -> None:
    rows = rows_of(by_category(results))
    assert len(rows) == 2 * 2 * 4
    letters = next(row for row in rows if (row["category"], row["model"]) == ("letters", "instruct"))
    assert float(letters["validity"]) == pytest.approx(0.785)  # the first two of its four prompts


def test_best_intervals(results: Results) -> None:
    best = rows_of(best_intervals(results))
    assert [(row["rank"], row["layers"], row["on the Pareto front"]) for row in best] == [("1", "1:2", "yes")]
    assert int(best[0]["size of the front"]) == 1 + 5  # five equal ones are more diverse and less valid


def test_search_cost_has_the_ratio_of_comparable_costs(results: Results) -> None:
    shared, loop = rows_of(search_cost(results))
    assert (shared["method"], shared["peak memory (MB)"]) == ("shared search", "5")
    assert float(shared["times faster than the loop"]) == 6.0
    assert loop["times faster than the loop"] == ""


@pytest.mark.parametrize("change", [{"dtype": "bfloat16"}, {"num_prompts": 5}, {"experiment": "another"}])
def test_no_ratio_of_costs_measured_otherwise(results: Results, change: dict[str, object]) -> None:
    costs = [
        cost.model_copy(update=change) if cost.method == "loop" else cost
        for cost in results.records
        if isinstance(cost, SearchCost)
    ]
    assert rows_of(search_cost(Results(tuple(costs))))[0]["times faster than the loop"] == ""


def test_models(results: Results) -> None:
    (row,) = rows_of(models(results))
    assert (row["base"], row["instruct"]) == ("some/base_model@0123456789ab", "some/instruct")
    assert (row["layers"], row["parameters"], row["dtype"]) == ("3", "1234567", "float32")
    assert row["notes"] == "base weights were converted"
    assert "| 1,234,567 |" in models(results).markdown()


def test_runs_say_commits_times_and_devices(results: Results) -> None:
    first, *rest = results.records
    source = first.provenance.model_copy(
        update={"commit": "a" * 40, "dirty": True, "created_at": "2026-01-02T00:00:00+00:00", "device": "GPU"}
    )
    changed = Results((first.model_copy(update={"provenance": source}), *rest))
    row = rows_of(runs(changed))[0]
    assert (row["experiment"], row["pair"]) == (first.experiment, first.pair)
    assert (row["begun"], row["ended"]) == ("2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00")
    assert row["commit"] == "aaaaaaaaaaaa+; unknown"
    assert row["device"] == "GPU; CPU, 2 threads"


def test_prompts_table_has_all_80() -> None:
    assert len(crc_prompts(Results(())).rows) == 80


MIXED = Table(
    "Of 100%",
    ("x_1", "y", "n"),
    ((Estimate(1.23456, 1.0, None, 3), None, 7), (Estimate(-0.25, -0.5, 0.0, 3), "p|q & r", 12345)),
)


def test_csv_has_full_precision_and_empty_cells() -> None:
    assert MIXED.csv() == (
        "x_1,x_1 low,x_1 high,x_1 n,y,n\n1.23456,1.0,,3,,7\n-0.25,-0.5,0.0,3,p|q & r,12345\n"
    )


def test_an_estimate_over_other_items_than_its_row_says_over_how_many() -> None:
    rows = ((Estimate(0.5, 0.25, 0.75, 9), Estimate(0.5, 0.25, 0.75, 3), 9),)
    table = Table("", ("x", "y", "prompts"), rows, count_column="prompts")
    assert table.markdown().splitlines()[-1] == ("| 0.500 [0.250, 0.750] | 0.500 [0.250, 0.750] (n=3) | 9 |")
    assert "(n=3)" in table_html(ShownTable.from_table("t", table, ""))
    assert "(n=3)" in table.latex("t")


def test_markdown_is_rounded_and_says_what_is_undefined() -> None:
    assert MIXED.markdown() == (
        "Of 100%\n\n| x_1 | y | n |\n| --- | --- | ---: |\n| 1.23 | n/a | 7 |\n"
        f"| -0.250 [-0.500, 0.000] | p\\|q & r | 12,345 |\n\n{UNDEFINED_NOTE} {NO_INTERVAL_NOTE}\n"
    )
    assert UNDEFINED_NOTE not in Table("", ("x",), ((1,),)).markdown()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.12345, "0.123"),
        (1.0, "1.000"),
        (-0.0001, "0.000"),
        (5.2148, "5.21"),
        (20.29, "20.3"),
        (1403.2, "1,403"),
    ],
)
def test_rounding_is_for_the_eye_only(value: float, shown: str) -> None:
    table = Table("", ("x",), ((value,),))
    assert table.markdown().splitlines()[-1] == f"| {shown} |"
    assert table.csv() == f"x\n{value}\n"


def test_latex_escapes_and_aligns() -> None:
    latex = MIXED.latex("a_b")
    assert latex.startswith(
        "% packages: booktabs\n\\begin{table}\n\\centering\n\\caption{Of 100\\%}\\label{tab:a-b}\n"
    )
    assert "\\begin{tabular}{llr}\n\\toprule\nx\\_1 & y & n \\\\\n\\midrule\n1.23 & n/a & 7 \\\\\n" in latex
    assert "$-$0.250 [$-$0.500, 0.000] & p\\textbar{}q \\& r & 12,345 \\\\\n\\bottomrule" in latex
    assert f"{{\\footnotesize {UNDEFINED_NOTE} {NO_INTERVAL_NOTE}}}" in latex


def test_wide_latex_is_scaled_to_the_text() -> None:
    wide = Table("", ("one", "two"), (("x" * 50, "y" * 50),)).latex("t")
    assert wide.startswith("% packages: booktabs, graphicx\n")
    assert "\\resizebox{\\linewidth}{!}{%\n\\begin{tabular}{ll}" in wide


def test_long_latex_breaks_across_pages() -> None:
    latex = crc_prompts(Results(())).latex("t")
    assert latex.startswith("% packages: booktabs, longtable, pdflscape\n\\begin{landscape}")
    assert r"\begin{longtable}{llp{0.45\linewidth}l}" in latex
    assert latex.count(r"\label{") == 1
    assert latex.count(r" \\") == 80 + 3  # and the caption and the header, on the first page and the others


def test_latex_groups_and_environments_are_closed(results: Results) -> None:
    for make in (
        selected_intervals,
        by_category,
        selection_reasons,
        best_intervals,
        search_cost,
        models,
        runs,
    ):
        latex = make(results).latex("t").replace(r"\{", "").replace(r"\}", "")
        assert latex.count("{") == latex.count("}"), make
        for environment in ("table", "tabular", "longtable", "landscape"):
            assert latex.count(rf"\begin{{{environment}}}") == latex.count(rf"\end{{{environment}}}"), make


def test_ends_of_an_estimate_have_the_decimals_of_its_largest() -> None:
    table = Table("", ("x",), ((Estimate(0.99, 0.75, 1.25, 9),),))
    assert table.markdown().splitlines()[-1] == "| 0.99 [0.75, 1.25] |"


def test_p_values_are_never_shown_as_zero() -> None:
    table = Table(
        "", ("coverage: p",), ((PValue(0.00012345678),), (PValue(0.001),), (PValue(0.25),), (None,))
    )
    assert "| ---: |\n| <0.001 |\n| 0.001 |\n| 0.250 |\n| n/a |\n" in table.markdown()
    assert "$<$0.001 \\\\\n0.001 \\\\\n0.250 \\\\" in table.latex("t")
    assert '<td class="number">&lt;0.001</td>' in table_html(ShownTable.from_table("t", table, ""))
    assert table.csv() == 'coverage: p\n0.00012345678\n0.001\n0.25\n""\n'


@pytest.mark.parametrize(
    ("p", "shown"),
    [(0.0, "<0.001"), (0.000999, "<0.001"), (0.0014, "0.001"), (0.9996, "1.000"), (1.0, "1.000")],
)
def test_p_values_of_every_size(p: float, shown: str) -> None:
    assert str(p_cell(p)) == shown


def test_a_p_column_takes_nothing_but_p_values() -> None:
    assert p_cell(None) is None
    for column in ("p", "precision: p"):
        with pytest.raises(ValueError, match=f"column '{column}' holds 0.5: expected PValue"):
            Table("", ("x", column), ((0.5, None), (0.5, 0.5)))
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="a p-value is a number from 0 to 1"):
            PValue(wrong)
