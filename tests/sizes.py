"""How often a test repeats itself: as often as a change can wait for, or as the night has time for (``make soak``)."""
from __future__ import annotations

import os

NIGHT = os.environ.get("SOAK") == "1"


def size(day: int, night: int) -> int:
    return night if NIGHT else day
