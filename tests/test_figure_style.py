from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from slr.figure_style import MODEL_COLORS, MODEL_MARKERS, MODEL_NAMES, save_figure, use_style

DRAW = """
import sys
from pathlib import Path
import matplotlib.pyplot as plt
from slr.figure_style import save_figure, use_style
use_style()
figure, axes = plt.subplots()
axes.bar([1, 2], [1, 2], hatch="//", label="bars")
axes.legend()
save_figure(figure, Path(sys.argv[1]), "drawn")
"""


def test_every_model_has_a_colour_a_marker_and_a_name_of_its_own() -> None:
    assert (
        set(MODEL_COLORS) == set(MODEL_MARKERS) == set(MODEL_NAMES) == {"base", "instruct", "hybrid", "soup"}
    )
    for values in (MODEL_COLORS, MODEL_MARKERS, MODEL_NAMES):
        assert len(set(values.values())) == len(values)


@pytest.mark.parametrize("suffix", ["pdf", "png"])
def test_two_processes_save_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    drawn = []
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", DRAW, str(tmp_path / seed)], check=True, env={"PYTHONHASHSEED": seed}
        )
        drawn.append((tmp_path / seed / f"drawn.{suffix}").read_bytes())
    assert drawn[0] == drawn[1]
    for trace in (b"CreationDate", b"Matplotlib", b"matplotlib"):
        assert trace not in drawn[0]


def test_a_saved_figure_is_closed(tmp_path: Path) -> None:
    use_style()
    figure, _ = plt.subplots()
    assert save_figure(figure, tmp_path / "new", "empty") == [
        tmp_path / "new" / "empty.pdf",
        tmp_path / "new" / "empty.png",
    ]
    assert figure.number not in plt.get_fignums()  # pyright: ignore[reportAttributeAccessIssue]
