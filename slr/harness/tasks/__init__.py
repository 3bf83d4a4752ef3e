"""Tasks of our own in lm-eval's YAML, each next to its documents.

lm-eval's command line finds them here too: ``python -m lm_eval run --include_path slr/harness/tasks ...``.
"""

from pathlib import Path

TASKS_DIR = Path(__file__).parent
"""Directory of the tasks."""
