"""Run the benchmarks and print the table of benchmarks/README.md."""
from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import calls, comparisons, pages, sign_in, storm, streams, vault, writes
from benchmarks.measure import Row

PARTS: dict[str, Callable[[Path], list[Row]]] = {
    "pages": pages.run, "writes": writes.run, "storm": storm.run, "calls": calls.run, "vault": vault.run, "streams": streams.run, "sign_in": sign_in.run,
    "comparisons": comparisons.run,
}


def main() -> int:
    wanted = sys.argv[1:] or [name for name in PARTS if name != "comparisons"]  # these take most of an hour
    rows: list[Row] = []
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installation has its byte code; to compile at each start takes as long as the start
    for name in wanted:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="mcpweb-bench-") as folder:
            rows += PARTS[name](Path(folder))
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    print("| what | measured | bound | kept |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row.what} | {row.measured} | {row.bound} | {'yes' if row.holds else '**no**'} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
