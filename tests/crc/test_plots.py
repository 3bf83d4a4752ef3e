# pyright: reportPrivateUsage=false

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from slr.crc import plots
from slr.crc.report import CrcReport, crc_report, interval_candidates
from slr.figure_style import MODEL_COLORS, use_style
from slr.runs.records import AnyRecord, CrcSelection
from tests.analysis.synthetic import NUM_LAYERS, crc_records, nothing_chosen


@pytest.fixture(autouse=True)
def style() -> None:
    use_style()


@pytest.fixture
def records() -> list[AnyRecord]:
    return crc_records("pair-one")


@pytest.fixture
def report(records: list[AnyRecord]) -> CrcReport:
    return crc_report(records, "pair-one")


def marked(axes: Axes) -> list[list[float]]:
    """End and start layer of every marked cell."""
    stars = [line for line in axes.lines if line.get_gid() == "chosen"]
    return [point for star in stars for point in np.asarray(star.get_xydata()).tolist()]


def test_heatmaps_mark_the_chosen_cell(report: CrcReport, records: list[AnyRecord]) -> None:
    validity, diversity = plots.heatmaps([report], records).axes[:2]
    for axes in (validity, diversity):
        assert marked(axes) == [[2, 1]]  # the interval 1:2: end layer, start layer
        # The cell is drawn around its mark, for the interval start:end is in row start, column end - 1.
        assert axes.images[0].get_extent() == [0.5, NUM_LAYERS + 0.5, -0.5, NUM_LAYERS - 0.5]
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("end layer (not included)", "start layer")
    shown = np.ma.asarray(validity.images[0].get_array())
    assert shown[1, 1] == pytest.approx(0.75)
    assert shown[0, 2] == pytest.approx(0.5)
    assert shown.count() == NUM_LAYERS * (NUM_LAYERS + 1) // 2


def test_heatmaps_say_whether_the_rule_is_kept_on_held_out_prompts(
    report: CrcReport, records: list[AnyRecord]
) -> None:
    assert [text.get_text() for text in plots.heatmaps([report], records).axes[0].texts] == [
        "layers 1:2\nheld-out: rule kept"
    ]


def test_with_a_margin_more_is_hatched(records: list[AnyRecord]) -> None:
    """The chosen range's ratio is 0.9375, its interval's lower end below 0.937."""
    rule = {"min_validity_ratio": 0.937, "margin": True}
    records = [r.model_copy(update=rule) if isinstance(r, CrcSelection) else r for r in records]
    report = crc_report(records, "pair-one")
    diversity = plots.heatmaps([report], records).axes[1]
    hatched = next(c for c in diversity.collections if c.get_gid() == "inadmissible")
    assert len(hatched.get_paths()) == 6


def test_only_diversity_hatches_what_cannot_be_chosen(report: CrcReport, records: list[AnyRecord]) -> None:
    validity, diversity = plots.heatmaps([report], records).axes[:2]
    hatched = next(c for c in diversity.collections if c.get_gid() == "inadmissible")
    assert len(hatched.get_paths()) == 5  # all but the chosen one
    assert not [c for c in validity.collections if c.get_gid() == "inadmissible"]


def test_one_scale_of_colours_for_all_pairs(report: CrcReport, records: list[AnyRecord]) -> None:
    """The tenths around all values: validity from 0.1 to 0.8, diversity from 0.3 to 0.9."""
    figure = plots.heatmaps([report, report], records)
    assert [axes.images[0].get_clim() for axes in figure.axes[:4]] == pytest.approx(
        np.array([(0.1, 0.8), (0.3, 0.9)] * 2)
    )


def test_a_scale_is_never_empty(report: CrcReport) -> None:
    same = [c for c in report.best if c.validity == pytest.approx(0.75)]
    assert plots._limits([], [same], "validity") == pytest.approx((0.7, 0.8))


def test_colour_bars_name_base_and_instruct(report: CrcReport, records: list[AnyRecord]) -> None:
    bars = [axes for axes in plots.heatmaps([report], records).axes[2:] if axes.texts]
    assert [[(t.get_text(), t.get_color()) for t in bar.texts] for bar in bars] == [
        [(model, MODEL_COLORS[model]) for model in ("base", "instruct")]
    ] * 2
    heights = [[line.get_ydata()[0] for line in bar.lines[::2]] for bar in bars]  # pyright: ignore[reportIndexIssue]
    assert heights == pytest.approx(np.array([[0.1, 0.8], [0.9, 0.3]]))


def test_labels_on_a_colour_bar_do_not_overlap() -> None:
    heights = plots._apart({"base": 0.50, "instruct": 0.51}, 0.1)
    assert heights["instruct"] - heights["base"] == pytest.approx(0.1)
    assert plots._apart({"base": 0.1, "instruct": 0.9}, 0.1) == {"base": 0.1, "instruct": 0.9}


def test_nothing_chosen_is_said_and_not_marked() -> None:
    records = nothing_chosen(crc_records("pair-one"))
    report = crc_report(records, "pair-one")
    axes = plots.heatmaps([report], records).axes[0]
    assert [text.get_text() for text in axes.texts] == ["no interval is\nvalid enough"]
    assert marked(axes) == []
    labels = plots.tradeoff([report], records).axes[0].get_legend_handles_labels()[1]
    assert "chosen SLR hybrid" not in labels


def test_tradeoff_shows_every_interval_and_model(report: CrcReport, records: list[AnyRecord]) -> None:
    axes = plots.tradeoff([report], records).axes[0]
    points = next(c for c in axes.collections if c.get_gid() == "intervals")
    scored = interval_candidates(records)
    assert np.asarray(points.get_offsets()) == pytest.approx(
        np.array([(c.validity, c.diversity) for c in scored])
    )
    shares = [
        2 / 3 if str(c.choice) in ("0:2", "1:3") else 1 if str(c.choice) == "0:3" else 1 / 3 for c in scored
    ]
    assert np.asarray(points.get_array()) == pytest.approx(shares)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("CRC validity", "CRC diversity")
    lines = {line.get_label(): line for line in axes.lines}
    assert np.asarray(lines["soups, alpha from 0 to 1"].get_xydata()) == pytest.approx(
        np.array([(0.8, 0.3), (0.45, 0.55), (0.1, 0.8)])
    )
    assert list(np.asarray(lines["least validity allowed"].get_xdata())) == pytest.approx([0.72, 0.72])
    bars = {container.get_label(): container for container in axes.containers}
    assert set(bars) == {"base", "instruct", "chosen SLR hybrid", "chosen soup"}
    hybrid = bars["chosen SLR hybrid"][0]
    assert hybrid.get_xydata().tolist() == [pytest.approx([0.75, 0.6])]
    assert hybrid.get_color() == MODEL_COLORS["hybrid"]


def test_pictures_are_saved_as_png_and_pdf(
    tmp_path: Path, report: CrcReport, records: list[AnyRecord]
) -> None:
    pictures = plots.save_pictures([report], records, tmp_path)
    assert [picture.name for picture in pictures] == ["crc_heatmaps.png", "crc_tradeoff.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "crc_heatmaps.pdf",
        "crc_heatmaps.png",
        "crc_tradeoff.pdf",
        "crc_tradeoff.png",
    ]
