"""Intervals that are spread over the plane of CRC validity and diversity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slr.crc.selection import Candidate
from slr.intervals import LayerInterval

CORNERS = ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0))
"""Corners of the plane, as validity and diversity that are scaled to go from 0 to 1."""


def spread_intervals(
    candidates: Sequence[Candidate[LayerInterval]], chosen: LayerInterval | None, count: int
) -> tuple[Candidate[LayerInterval], ...]:
    """Choose intervals that are far apart in the plane.

    Validity and diversity are scaled to their range over all candidates. The chosen interval comes first. Then come the
    intervals nearest to the four corners. Then, again and again, comes the one that is farthest from its nearest
    neighbour among those before (farthest-point sampling: Gonzalez 1985, Theoretical Computer Science 38). Of equals
    the first one by start and end comes, so nothing depends on the order of the candidates.

    Args:
        candidates: all intervals with their means.
        chosen: the search's choice; None if there is none.
        count: number of intervals; all of them if there are fewer.
    """  # prose: ok
    defined = sorted((c for c in candidates if c.diversity is not None), key=lambda c: c.choice.ends)
    if not defined:
        return ()
    points = np.array([(c.validity, c.diversity) for c in defined], dtype=np.float64)
    # Without scaling, the axis with the larger range alone would decide what is far apart.
    spans = np.ptp(points, axis=0)
    points = (points - points.min(axis=0)) / np.where(spans > 0, spans, 1.0)
    picked = [index for index, c in enumerate(defined) if c.choice == chosen]
    picked += [int(np.linalg.norm(points - corner, axis=1).argmin()) for corner in CORNERS]
    picked = list(dict.fromkeys(picked))[:count]
    while len(picked) < min(count, len(defined)):
        distances = np.linalg.norm(points[:, None] - points[picked], axis=2).min(axis=1)
        # An interval that is already there has distance 0, and so may another one at the same place.
        distances[picked] = -1.0
        picked.append(int(distances.argmax()))
    return tuple(defined[index] for index in picked)
