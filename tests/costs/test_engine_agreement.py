"""What one engine draws is compared with what the other draws, in words and in whole answers."""

from __future__ import annotations

import numpy as np
import pytest

from slr.costs.engine_agreement import VIEWS, Drawn, agreements, print_agreements


def drawn(seed: int, red: float) -> Drawn:
    number = np.random.default_rng(seed)
    texts = [[str(t) for t in number.choice(["Red.", "Blue."], 100, p=[red, 1 - red])] for _ in range(6)]
    return Drawn(texts, num_tokens=600, seconds=1.0)


def test_engines_with_other_answers_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    same, other = agreements(drawn(0, 0.5), drawn(1, 0.5)), agreements(drawn(0, 0.5), drawn(1, 0.8))
    assert [of.view for of in same] == list(VIEWS)
    assert min(of.combined_p for of in same) > 0.01
    assert max(of.combined_p for of in other) < 1e-6
    assert not any(of.is_different for of in same)
    assert all(of.is_different for of in other)
    assert all(of.distance == pytest.approx(0.3, abs=0.1) for of in other)
    assert all(of.distance > of.by_chance for of in other)
    print_agreements({"same": same, "other": other})
    assert len(capsys.readouterr().out.splitlines()) == 1 + 2 * len(VIEWS)
