"""Many processes and threads that read, change and add at once: counted here, measured by ``python -m benchmarks storm``."""
from __future__ import annotations

from pathlib import Path

from benchmarks.storm import brew
from tests.sizes import size

SECONDS, PROCESSES = size(1, 30), size(2, 6)


def test_nobody_is_locked_out_and_every_acknowledged_change_is_there(tmp_path: Path) -> None:
    seen = brew(tmp_path, "product", SECONDS, PROCESSES, pause_s=0.02)
    assert (seen.locked, seen.lost, seen.words) == (0, 0, ()) and seen.whole
    assert seen.updates > 20 and seen.added > 0 and seen.reads


def test_the_naive_way_is_locked_out_by_the_same_storm(tmp_path: Path) -> None:
    """The control: what the test above asserts is not true of itself."""
    seen = brew(tmp_path, "naive", SECONDS, PROCESSES, pause_s=0.02)
    assert seen.locked > 0 and "database is locked" in seen.words and seen.whole
