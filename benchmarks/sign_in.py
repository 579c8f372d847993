"""How long a refused sign-in takes for a name that is there and for one that is not: they must not be told apart."""
from __future__ import annotations

import statistics
import time
from pathlib import Path

from benchmarks.measure import Row
from mcpweb.contracts import Actor
from mcpweb.core import Core, open_core
from mcpweb.errors import Unauthenticated
from mcpweb.services import accounts
from mcpweb.settings import load

PAIRS = 60
TRIES_A_USER = 6  # the throttle of a name lets eight through at once
ME = Actor.cli("bench")
PASSWORD = "a long pass phrase"


def run(folder: Path) -> list[Row]:
    core = open_core(load({"MCPWEB_DATA_DIR": str(folder / "data")}))
    try:
        for number in range(PAIRS // TRIES_A_USER):
            accounts.add_user(core, ME, name=f"user{number}", role="viewer", password=PASSWORD)
        for number in range(3):
            _refused(core, f"warm{number}", 200 + number)
        known, unknown = [], []
        for number in range(PAIRS):
            pair = [(known, f"user{number // TRIES_A_USER}"), (unknown, f"nobody{number}")]
            for times, name in pair if number % 2 else reversed(pair):
                times.append(_refused(core, name, number))
    finally:
        core.close()
    there, not_there = statistics.median(known), statistics.median(unknown)
    ratio = statistics.median(one / other for one, other in zip(unknown, known, strict=True))
    return [Row("a refused sign-in, unknown name (ms) / wrong password", f"{ratio:.3f}× ({not_there:.0f} / {there:.0f}), {PAIRS} alternating pairs",
                "0.9–1.1×", 0.9 <= ratio <= 1.1)]


def _refused(core: Core, name: str, address: int) -> float:
    """Return the milliseconds of one try; each comes from an address of its own, past the throttle of addresses."""
    began = time.perf_counter()
    try:
        accounts.sign_in(core, name, "not the password", f"192.0.2.{address}", "bench")
    except Unauthenticated:
        return 1000 * (time.perf_counter() - began)
    raise AssertionError("the password was not right")
