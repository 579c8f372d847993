"""What happens on a disk of three mebibytes; run inside a mount namespace of its own by tests/faults/test_disk.py."""
from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from mcpweb.services import audit
from tests.faults.house import ME, House
from tests.waiting import eventually


def full(disk: Path, house: House) -> None:
    """Fill the disk in the middle of a call, look, make room, look again."""
    house.served.start()
    try:
        kept = {f"before-{n}" for n in range(3)}
        assert [house.add(name).status for name in sorted(kept)] == [201] * 3
        assert house.ended(house.call("before-0", "hello"))["state"] == "succeeded"
        slow = house.call("before-0", "2")
        assert slow.body["state"] == "running"
        ballast = fill(disk)

        refused = [house.add(f"during-{n}") for n in range(3)]
        assert {answer.status for answer in refused} == {507}, refused
        assert refused[0].body["code"] == "storage_full" and "Free some space" in refused[0].body["detail"]
        assert refused[0].body["detail"].count("nothing was changed") == 1
        setup = {"format": "mcpweb.setup", "version": 1, "servers": []}
        assert house.ask("POST", "/api/v1/import", setup).status == 507  # its text waits in a file
        for path in ("/", "/servers", "/jobs", "/secrets", "/audit", "/settings/doctor", "/api/v1/doctor", "/healthz", "/readyz", "/metrics", "/api/v1/servers"):
            answer = house.ask("GET", path)
            assert answer.status == 200, (path, answer.status, answer.body[-1500:])
        told = house.ask("GET", "/api/v1/doctor").body["items"]
        assert [one["next_step"] for one in told if one["name"] == "disk"] == ["Make room: the database cannot grow."]
        house.served.cli("servers", "add", "by-hand", "--image", "tiny:1", code=2)
        assert "The disk is full" in house.served.stderr and "Traceback" not in house.served.stderr
        time.sleep(1)
        assert house.ask("GET", f"/api/v1/jobs/{slow.body['id']}").body["state"] == "running"  # it is over, and cannot be stored

        ballast.unlink()
        kept |= {"after-0"}
        assert house.add("after-0").status == 201
        assert house.ended(slow)["state"] == "succeeded"
        eventually(lambda: house.ask("GET", "/readyz").status == 200)
        assert house.ask("GET", "/api/v1/jobs?state=running").body["items"] == []
        assert house.ended(house.call("before-0", "again"))["state"] == "succeeded"
        print("full: nothing lost, everything told")
    finally:
        code = house.served.stop()
    assert code == 0
    with house.core() as core:
        assert audit.verify(core, ME)["ok"], "signed as far as there was room, and no half line"
    assert house.names() == kept


def fill(disk: Path) -> Path:
    ballast = disk / "ballast"
    descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(descriptor, bytes(4096))
    except OSError:
        return ballast
    finally:
        os.close(descriptor)


def read_only(disk: Path, house: House) -> None:
    """Every command refuses with the reason, and nothing is changed."""
    before = {path.name: path.read_bytes() for path in (disk / "data").glob("mcpweb.db*")}
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        house.served.cli("servers", "list", code=2)
        assert "cannot be written" in house.served.stderr and "Check" in house.served.stderr, house.served.stderr
        told = house.served.cli("doctor", code=1)
        assert "cannot be written" in told, told
        assert {path.name: path.read_bytes() for path in (disk / "data").glob("mcpweb.db*")} == before
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    assert house.names()
    print("read-only: refused with the reason")


if __name__ == "__main__":
    made = House(Path(sys.argv[2]), Path(sys.argv[1]) / "data", MCPWEB_KEY_FILE=str(Path(sys.argv[1]) / "keys" / "ring.json"))
    full(Path(sys.argv[1]), made)
    read_only(Path(sys.argv[1]), made)
