"""A disk that is full, and one that cannot be written: real ones, in a mount namespace that nobody else sees."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mcpweb import paths


def test_on_a_small_disk_writes_are_refused_reads_go_on_and_nothing_is_lost(tmp_path: Path) -> None:
    disk, folder = tmp_path / "disk", tmp_path / "rest"
    disk.mkdir()
    folder.mkdir()
    mounted = 'mount -t tmpfs -o size=3m,mode=0700 tmpfs "$1" && exec "$3" -m tests.faults.small_disk "$1" "$2"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mounted, "sh", str(disk), str(folder), sys.executable],
        capture_output=True, text=True, timeout=120, cwd=paths.PACKAGE.parent,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == ["full: nothing lost, everything told", "read-only: refused with the reason"]
