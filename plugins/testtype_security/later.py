"""A second life of a server: in a container where it ran before and was used, under a clock that runs ahead.

Nobody can set a container's clock, but most servers ask their language what time it is: Python and Node are given a clock of
ours, which goes through the hours of some weeks and then through years within a second. Others keep their own.
"""

# ruff: noqa: E501 - a sentence or a pattern is read as a whole
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mcpweb.plugin import ConfigData, Frame, ImageFacts

STEP_S, STEPS, LAST = 0.02, 40, 400  # looked at for so many; a slow start may take the rest, and no year gets five digits
MOST_SAID = 48 * 1024  # of what the first life is told
FIRST_LIFE_S = 4
_DAY, _HOURS = 86400, 28  # seconds; steps of 21 hours, after which they grow
PYTHON = f"""
import time as _t, datetime as _d, os as _o
_real, _start = _t.time, _t.time()
def _ahead():
    n = min(int((_real() - _start) / {STEP_S}), {LAST})
    return n * 75600 if n <= {_HOURS} else (n - {_HOURS}) ** 2 * 7 * {_DAY} + {_HOURS} * 75600
def _now(): return _real() + _ahead()
_gm, _lo, _st, _mono, _ct = _t.gmtime, _t.localtime, _t.strftime, _t.monotonic, _t.ctime
_t.time = _now
_t.time_ns = lambda: int(_now() * 1e9)
_t.monotonic = lambda: _mono() + _ahead()
_t.gmtime = lambda s=None: _gm(_now() if s is None else s)
_t.localtime = lambda s=None: _lo(_now() if s is None else s)
_t.ctime = lambda s=None: _ct(_now() if s is None else s)
_t.strftime = lambda f, t=None: _st(f, _lo(_now()) if t is None else t)
class _Meta(type(_d.datetime)):
    def __instancecheck__(cls, one): return isinstance(one, _datetime)
    def __subclasscheck__(cls, one): return issubclass(one, _datetime)
_datetime, _date = _d.datetime, _d.date
class datetime(_datetime, metaclass=_Meta):
    @classmethod
    def now(cls, tz=None): return _datetime.fromtimestamp(_now(), tz)
    @classmethod
    def utcnow(cls): return _datetime.fromtimestamp(_now(), _d.timezone.utc).replace(tzinfo=None)
    @classmethod
    def today(cls): return _datetime.fromtimestamp(_now())
class _DateMeta(type(_d.date)):
    def __instancecheck__(cls, one): return isinstance(one, _date)
    def __subclasscheck__(cls, one): return issubclass(one, _date)
class date(_date, metaclass=_DateMeta):
    @classmethod
    def today(cls): return _date.fromtimestamp(_now())
_d.datetime, _d.date = datetime, date
"""
NODE = f"""
const real = Date.now, start = real(), Was = Date;
const ahead = () => {{ const n = Math.min(Math.floor((real() - start) / {int(STEP_S * 1000)}), {LAST}); return (n <= {_HOURS} ? n * 75600 : (n - {_HOURS}) ** 2 * {7 * _DAY} + {_HOURS} * 75600) * 1000; }};
globalThis.Date = class Date extends Was {{
  constructor(...given) {{ if (given.length) super(...given); else super(real() + ahead()); }}
  static now() {{ return real() + ahead(); }}
}};
"""
_SCRIPT = """
d=/tmp/.$$; mkdir -p "$d" || d=/dev/shm
printf '%s' "$2" > "$d/sitecustomize.py"; printf '%s' "$3" > "$d/clock.js"; said=$1; shift 3
if [ -n "$said" ]; then
  printf '%s\\n' "$said" > "$d/said"
  "$@" < "$d/said" > /dev/null 2>&1 & one=$!
  ( sleep SECONDS; kill -9 $one ) > /dev/null 2>&1 & end=$!
  wait $one; kill $end 2> /dev/null; rm -f "$d/said"
fi
export PYTHONPATH="$d${PYTHONPATH:+:$PYTHONPATH}" NODE_OPTIONS="--require=$d/clock.js $NODE_OPTIONS"
exec "$@"
""".replace("SECONDS", str(FIRST_LIFE_S))


def changes(config: ConfigData, image: ImageFacts, frames: Iterable[Frame]) -> dict[str, Any]:
    """Return how a container is started so that the server has a life behind it: what it was told then are ``frames``."""
    entrypoint = config.entrypoint if config.entrypoint is not None else image.entrypoint
    command = config.command if config.command is not None else image.command if config.entrypoint is None else ()
    said, size = [], 0
    for frame in frames if config.transport == "stdio" else ():
        line = frame.data.strip()
        size += len(line) + 1
        if size > MOST_SAID:
            break
        if frame.direction == "sent" and frame.size <= len(frame.data) + 1 and b"\n" not in line:
            said.append(line.decode("utf-8", "replace"))
    words = ["/bin/sh", "-c", _SCRIPT, "mcpweb", "\n".join(said), PYTHON, NODE, *entrypoint, *command]
    return {"entrypoint": words, "command": [], "read_only_root": False}
