"""The records behind the published figures, compressed next to them, so that everybody can compute every number anew.

``paper_figures/PRESET/records/NAME.jsonl.xz`` holds all records of an experiment. ``slr figures --from-shipped``
unpacks it as ``results/shipped/PRESET/NAME.jsonl``.
"""

from __future__ import annotations

import lzma
import shutil
from pathlib import Path

from slr.files.whole import whole_file
from slr.runs.record_lines import line_of
from slr.runs.results_store import stores_in

RECORDS = "records"
"""Name of the directory of a preset's records, in the directory of its figures."""
SHIPPED = "shipped"
"""Name of the directory in ``--results-dir`` that the records are unpacked into."""
SUFFIX = ".xz"


def ship_records(run: Path, figures_dir: Path) -> None:
    """Write all records of a run that count, compressed, in the order in which they were made.

    Args:
        run: directory of the records.
        figures_dir: directory of the run's figures and tables.
    """
    directory = figures_dir / RECORDS
    directory.mkdir(parents=True, exist_ok=True)
    for store in stores_in(run):
        lines = "".join(map(line_of, store.read()))
        # Equal records give equal bytes, because xz stores no time.
        (directory / f"{store.path.name}{SUFFIX}").write_bytes(lzma.compress(lines.encode()))


def unpack_shipped(published: Path, results_dir: Path) -> Path:
    """Unpack the records of every preset into ``shipped/PRESET`` in a directory of results.

    Records that an earlier call unpacked there are replaced.

    Args:
        published: directory of the published figures.
        results_dir: directory of results.

    Returns:
        The directory that holds a directory of records for each preset.

    Raises:
        ValueError: if no records are shipped, or a file of them is damaged.
        OSError: if they cannot be written.
    """
    files = sorted(published.glob(f"*/{RECORDS}/*.jsonl{SUFFIX}"))
    if not files:
        raise ValueError(
            f"there are no records in {published}/PRESET/{RECORDS}: get them with git, or draw records of your own "
            "with --results-dir"
        )
    directory = results_dir / SHIPPED
    shutil.rmtree(directory, ignore_errors=True)
    for file in files:
        try:
            lines = lzma.decompress(file.read_bytes())
        except lzma.LZMAError as error:
            raise ValueError(f"{file} is damaged ({error}): get it again, with git checkout {file}") from None
        with whole_file(directory / file.parents[1].name / file.name.removesuffix(SUFFIX)) as unfinished:
            unfinished.write_bytes(lines)
    return directory
