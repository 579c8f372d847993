"""A rotation that is killed anywhere loses nothing, leaves one active version, and is finished by the next one.

``make soak`` kills at many more random moments.
"""
from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mcpweb.contracts import Actor, Sensitive
from mcpweb.core import Core, open_core
from mcpweb.dao import keys, secrets
from mcpweb.services import keycheck, rotation
from mcpweb.services import secrets as service
from mcpweb.testing.fixtures import settings_for
from tests.sizes import size

ME = Actor.cli("tester")
COUNT = 260
RANDOM_KILLS = size(6, 100)
ROTATE = """
import sys
from mcpweb.contracts import Actor
from mcpweb.core import open_core
from mcpweb.services import keys, rotation
core, me = open_core(), Actor.cli("rotator")
print("ready", flush=True)
for name in sys.argv[1:]:
    keys.rotate_kek(core, me) if name == "kek" else keys.rotate(core, me, "main")
key = keys.get(core, me, "main").key
print(rotation.reencrypt(core, me, key.id, lambda fraction, message: None), flush=True)
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A database with many secrets, and what they hold."""
    core = open_core(settings_for(tmp_path_factory.mktemp("written")), role="cli")
    made = {}
    for number in range(COUNT):
        value = f"value {number} {os.urandom(8).hex()}"
        made[service.add(core, ME, name=f"S{number}", value=Sensitive(value)).id] = value
    core.close()
    return core.settings.db_path, made


@pytest.fixture(scope="module")
def migrated_file(written: tuple[Path, dict[str, str]]) -> Path:
    """What ``core`` begins with in each of these tests."""
    return written[0]


@pytest.fixture
def values(written: tuple[Path, dict[str, str]]) -> dict[str, str]:
    """Many secrets of ``core`` and what they hold."""
    return dict(written[1])


def rotator(core: Core, *words: str, failpoint: str = "") -> subprocess.Popen[str]:
    environment = core.settings.to_environment() | ({"MCPWEB_FAILPOINT": failpoint} if failpoint else {})
    return subprocess.Popen([sys.executable, "-c", ROTATE, *words], env=environment, stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=60)
    return process.returncode


def check(core: Core, values: dict[str, str], *, done: bool) -> None:
    """Hold what is there against what must be."""
    with core.db.reading() as conn:
        (key,) = keys.listing(conn)
        states = [one.state for one in keys.versions(conn, key.id)]
        assert states.count("active") == 1 and key.key_version == len(states)
        if done:
            assert rotation.pending(conn, key.id) == 0 and set(states[1:]) <= {"retired"}
        for secret_id, value in values.items():
            secret = secrets.get(conn, secret_id)
            assert core.vault.open(conn, rotation.place_of(secret), secret.encrypted_value).reveal() == value
    assert keycheck.verify(core, ME).ok


class Writer(threading.Thread):
    """Somebody who goes on replacing values while a rotation runs; what was committed is in ``values``."""

    def __init__(self, core: Core, values: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self.core, self.values, self.stop, self.writes = core, values, threading.Event(), 0
        self.fault: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.stop.wait(0.005):
                secret_id = random.choice(list(self.values))
                value = f"newer {os.urandom(8).hex()}"
                service.replace(self.core, ME, secret_id, Sensitive(value))
                self.values[secret_id] = value
                self.writes += 1
        except BaseException as fault:
            self.fault = fault
        finally:
            self.core.db.close()

    def __enter__(self) -> Writer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.join(20)
        assert self.fault is None, self.fault


PLACES = [
    "rotate.before_version", "rotate.before_start", "rotate.started", "rotate.after_read", "rotate.before_commit",
    "rotate.in_transaction", "rotate.after_commit", "rotate.after_read:kill:2", "rotate.before_retire", "rotate.after_retire",
]


@pytest.mark.parametrize("place", PLACES)
def test_a_kill_at_each_step_is_finished_by_the_next_rotation(core: Core, values: dict[str, str], place: str) -> None:
    with Writer(core, values) as writer:
        failpoint = place if ":" in place else f"{place}:kill"
        assert finish(rotator(core, "rotate", failpoint=failpoint)) == -signal.SIGKILL
        assert finish(rotator(core, "rotate")) == 0
    assert writer.writes > 0
    check(core, values, done=True)


@pytest.mark.parametrize("place", ["kek.added", "kek.before_commit", "kek.after_commit"])
def test_a_kill_while_the_key_encryption_key_changes_leaves_everything_readable(
    core: Core, values: dict[str, str], place: str
) -> None:
    assert finish(rotator(core, "kek", failpoint=f"{place}:kill")) == -signal.SIGKILL
    core.vault.forget()
    check(core, values, done=False)
    assert finish(rotator(core, "kek", "rotate")) == 0
    core.vault.forget()
    check(core, values, done=True)


def test_kills_at_random_moments_lose_nothing(core: Core, values: dict[str, str]) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    kills = 0
    with Writer(core, values) as writer:
        while kills < RANDOM_KILLS:
            process = rotator(core, "rotate")
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            time.sleep(chance.random() * 0.25)
            process.kill()
            kills += finish(process) == -signal.SIGKILL
            with core.db.reading() as conn:
                (key,) = keys.listing(conn)
                assert [one.state for one in keys.versions(conn, key.id)].count("active") == 1
    assert finish(rotator(core, "rotate")) == 0
    assert writer.writes > 0, seed
    check(core, values, done=True)


def test_two_rotations_at_once_are_safe(core: Core, values: dict[str, str]) -> None:
    with Writer(core, values):
        both = [rotator(core, "rotate", "rotate") for _ in range(2)]
        assert [finish(process) for process in both] == [0, 0]
    assert finish(rotator(core)) == 0
    check(core, values, done=True)
    with core.db.reading() as conn:
        (key,) = keys.listing(conn)
        assert key.key_version == 5


def damaged(conn: object, secret_id: str) -> None:
    conn.execute(  # type: ignore[attr-defined]
        "UPDATE secrets SET encrypted_value = substr(encrypted_value, 1, length(encrypted_value) - 4) || 'AAAA' WHERE id = :id",
        {"id": secret_id},
    )


def test_what_does_not_open_is_kept_named_and_keeps_its_version(core: Core, values: dict[str, str]) -> None:
    broken = next(iter(values))
    with core.db.writing() as conn:
        damaged(conn, broken)
        (key,) = keys.listing(conn)
        before = secrets.get(conn, broken).encrypted_value
        core.vault.add_version(conn, key)

    def reencrypt() -> rotation.Rotation:
        return rotation.reencrypt(core, ME, key.id, lambda fraction, message: None)

    done = reencrypt()
    assert (done.resealed, done.quarantined, done.retired) == (COUNT - 1, 1, ())
    with core.db.reading() as conn:
        (kept,) = keys.quarantined(conn, key.id)
        assert (kept.secret_id, kept.key_version) == (broken, 1) and kept.reason
        assert secrets.get(conn, broken).encrypted_value == before
        assert keys.version(conn, key.id, 1).state == "retiring"
    assert [fault.secret_id for fault in keycheck.verify(core, ME).faults] == [broken]
    values[broken] = "a new value"
    service.replace(core, ME, broken, Sensitive("a new value"))
    assert reencrypt().retired == (1,)
    with core.db.reading() as conn:
        assert keys.quarantined(conn, key.id) == []
    check(core, values, done=True)


def test_a_rotation_stops_where_it_is_told_to_and_goes_on_later(core: Core, values: dict[str, str]) -> None:
    with core.db.writing() as conn:
        (key,) = keys.listing(conn)
        core.vault.add_version(conn, key)
    told: list[str] = []

    def reencrypt(stopped: Callable[[], bool]) -> rotation.Rotation:
        return rotation.reencrypt(core, ME, key.id, lambda fraction, message: told.append(message), stopped)

    assert reencrypt(lambda: True) == rotation.Rotation(0, 0, ())
    with core.db.reading() as conn:
        assert rotation.pending(conn, key.id) == COUNT
    assert reencrypt(lambda: False).resealed == COUNT and told[-1].startswith(f"{COUNT} of {COUNT}")
    check(core, values, done=True)


def test_every_failpoint_is_visited_by_a_test() -> None:
    source = "".join(path.read_text() for path in (Path(rotation.__file__).parent).glob("*.py"))
    here = Path(__file__).parent
    tests = "".join((here / f"test_{name}.py").read_text() for name in ("rotation_kills", "key_destruction", "audit_retention"))
    named = {part.split('"')[1] for part in source.split("reach(")[1:]}
    assert named and not [name for name in named if name not in tests]
