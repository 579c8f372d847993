"""Which plugins are switched off or quarantined: ``<data dir>/plugins.json``, seen by every process at its next look."""
from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mcpweb import clock
from mcpweb.errors import StorageUnusable
from mcpweb.files import private_folder, write_private


@dataclass(frozen=True)
class Choice:
    """Why a plugin is not to be used. ``state`` is off (somebody said so) or quarantined (it misbehaved)."""

    state: str
    reason: str
    at: str


class Choices:
    """The file of one installation; a look costs one ``stat`` while nothing changed."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "plugins.json"
        self._seen: tuple[int, int, int] | None = None
        self._found: dict[str, Choice] = {}

    def now(self) -> Mapping[str, Choice]:
        """Return the choices in force; a file that cannot be read leaves what was known."""
        try:
            facts = os.stat(self.path)
        except FileNotFoundError:
            self._seen, self._found = None, {}
            return self._found
        except OSError:
            return self._found
        seen = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
        if seen != self._seen:
            self._found = _read(self.path, self._found)
            self._seen = seen
        return self._found

    def put(self, name: str, state: str, reason: str) -> None:
        """Switch a plugin off, or quarantine it. Raises StorageUnusable."""
        with self._changing() as found:
            found[name] = Choice(state, reason, clock.now())

    def drop(self, name: str) -> Choice | None:
        """Forget the choice about a plugin and return what it was. Raises StorageUnusable."""
        with self._changing() as found:
            return found.pop(name, None)

    def restore(self, name: str, choice: Choice | None) -> None:
        """Put a choice back as it was. Raises StorageUnusable."""
        with self._changing() as found:
            found.pop(name, None)
            if choice is not None:
                found[name] = choice

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, Choice]]:
        private_folder(self.path.parent)
        try:
            with open(self.path.with_name("plugins.json.lock"), "a", opener=_private) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                found = _read(self.path, {})
                yield found
                write_private(self.path, json.dumps({name: asdict(one) for name, one in sorted(found.items())}, indent=1))
        except OSError as error:
            raise StorageUnusable(f"{self.path} cannot be written: {error.strerror}.") from None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _read(path: Path, otherwise: dict[str, Choice]) -> dict[str, Choice]:
    try:
        told = json.loads(path.read_text())
        return {name: Choice(one["state"], one["reason"], one["at"]) for name, one in told.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return otherwise
