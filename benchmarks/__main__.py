"""Run the benchmarks and print the table of benchmarks/README.md."""
from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from benchmarks import calls, pages, vault, writes
from benchmarks.measure import Row


def main() -> int:
    wanted = sys.argv[1:] or ["pages", "writes", "calls", "vault"]
    rows: list[Row] = []
    for name in wanted:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="mcpweb-bench-") as folder:
            rows += {"pages": pages.run, "writes": writes.run, "calls": calls.run, "vault": vault.run}[name](Path(folder))
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    print("| what | measured | bound | kept |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row.what} | {row.measured} | {row.bound} | {'yes' if row.holds else '**no**'} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
