"""Secrets as files: on a tmpfs of this machine, bound read-only into one container, gone with it.

Laid out as ``<tmpfs>/mcpweb-<instance>/<container's own folder>/<variable>``. The folders are ours alone (0700); a file
is readable by the container's user only where we know that user, and by all users of that container where we do not.
"""
from __future__ import annotations

import contextlib
import ctypes
import os
import secrets as randomness
import shutil
import stat
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcpweb.plugin import ContainerIntent, PolicyRefused, SecretDelivery, StartFailed

from . import labels, variables

_TMPFS, _RAMFS = 0x01021994, 0x858458F6


@dataclass(frozen=True)
class Written:
    """The files of one container: their folder's name, and the mounts that show them."""

    folder: str
    mounts: tuple[dict[str, Any], ...]


class SecretFiles:
    """The files of all containers of one engine. ``given`` is the setting, empty for the usual places."""

    def __init__(self, given: str = "") -> None:
        self._given = given
        self._guard = threading.Lock()
        self._fresh: set[str] = set()  # folders of containers that are being made

    def place(self, address: str) -> Path:
        """Return the tmpfs to use. Raises PolicyRefused where a file would end on a disk, or at another machine."""
        if not address.startswith("unix://"):
            raise PolicyRefused(
                "Secrets cannot be delivered by file: the engine is reached over the network and sees other files than we do.",
                next_step="Bind them with the delivery `stdin`.",
            )
        for place in self._places():
            if _is_memory(place) and os.access(place, os.W_OK | os.X_OK):
                return place
        named = self._given or " and ".join(map(str, self._places()))
        raise PolicyRefused(
            f"Secrets cannot be delivered by file: no tmpfs we may write to ({named}); they would end on a disk.",
            next_step="Set MCPWEB_PLUGIN_RUNTIME_DOCKER_SECRETS_DIR to a folder on a tmpfs, or bind with the delivery `stdin`.",
        )

    def write(self, intent: ContainerIntent, address: str, owner: int | None) -> Written:
        """Write the files of a container. ``owner`` is its user on this machine, None when nobody can know.

        Call ``settled`` once the container is made or given up. Raises PolicyRefused, StartFailed.
        """
        folder = randomness.token_hex(12)
        with self._guard:
            self._fresh.add(folder)
        try:
            place = self._container_folder(self.place(address), intent.instance, folder)
            mounts = []
            for secret in intent.secrets:
                if secret.way == "file":
                    _write(place, secret, owner)
                    mounts.append(_mount(place / secret.variable, secret.variable))
            return Written(folder, tuple(mounts))
        except OSError as error:
            self.remove(intent.instance, folder)
            raise StartFailed(
                f"The secrets could not be written to the tmpfs: {error.strerror}.", next_step="See that it has room."
            ) from None
        except BaseException:
            self.remove(intent.instance, folder)
            raise

    def settled(self, folder: str) -> None:
        """Hear that the container of a folder stands: from now on the folder lives as long as it."""
        with self._guard:
            self._fresh.discard(folder)

    def remove(self, instance: str, folder: str) -> None:
        """Remove the files of a container that is gone; fine when they are gone too."""
        self.settled(folder)
        if not folder.isalnum():
            return  # a label somebody else wrote
        for place in self._instance_folders(instance):
            shutil.rmtree(place / folder, ignore_errors=True)
            with contextlib.suppress(OSError), self._guard:
                place.rmdir()  # only when it was the last

    def standing(self, instance: str) -> set[str]:
        """Return the folders of containers that are not being made at this moment."""
        found: set[str] = set()
        for place in self._instance_folders(instance):
            with contextlib.suppress(OSError):
                found |= {entry.name for entry in os.scandir(place)}
        with self._guard:
            return found - self._fresh

    def _places(self) -> tuple[Path, ...]:
        if self._given:
            return (Path(self._given),)
        return Path(f"/run/user/{os.geteuid()}"), Path("/run"), Path("/dev/shm")  # noqa: S108 - asked whether it is a tmpfs, and only a folder of ours is used

    def _instance_folders(self, instance: str) -> Iterator[Path]:
        for place in self._places():
            folder = place / f"mcpweb-{labels.short(instance)}"
            if _ours(folder):
                yield folder

    def _container_folder(self, place: Path, instance: str, folder: str) -> Path:
        ours = place / f"mcpweb-{labels.short(instance)}"
        with self._guard:
            with contextlib.suppress(FileExistsError):
                ours.mkdir(mode=0o700)
            if not _ours(ours):
                raise PolicyRefused(
                    f"{ours} is not a folder of ours alone; no secret is written there.", next_step=f"Remove {ours}."
                )
            (ours / folder).mkdir(mode=0o700)
        return ours / folder


def not_seen() -> StartFailed:
    """Return the failure for an engine that sees other files than we do although its socket is here."""
    return StartFailed(
        "Secrets cannot be delivered by file: the engine does not see the tmpfs we write to, because one of us runs in a "
        "container or behind a tunnel.",
        next_step="Mount a tmpfs of the engine's machine into our container at the same path and set "
        "MCPWEB_PLUGIN_RUNTIME_DOCKER_SECRETS_DIR to it, or bind with the delivery `stdin`.",
    )


def _ours(folder: Path) -> bool:
    """Tell whether this is a real folder of our user that nobody else can enter."""
    try:
        facts = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid() and not facts.st_mode & 0o077


def _write(place: Path, secret: SecretDelivery, owner: int | None) -> None:
    descriptor = os.open(place / secret.variable, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o400)
    with os.fdopen(descriptor, "wb") as file:
        if owner is None:
            os.fchmod(descriptor, 0o444)  # our folder keeps everybody on this machine out, the mount shows this file alone
        else:
            os.fchown(descriptor, owner, -1)
        file.write(variables.value_of(secret))


def _mount(source: Path, variable: str) -> dict[str, Any]:
    options = {"BindOptions": {"Propagation": "private", "NonRecursive": True}}
    return {"Type": "bind", "Source": str(source), "Target": f"{variables.FOLDER}/{variable}", "ReadOnly": True, **options}


def _is_memory(place: Path) -> bool:
    """Ask the kernel whether a folder lies in memory; its name says nothing."""
    if not sys.platform.startswith("linux"):
        return False
    facts = ctypes.create_string_buffer(512)
    if ctypes.CDLL(None, use_errno=True).statfs(os.fsencode(place), facts) != 0:
        return False
    kind = ctypes.c_long.from_buffer(facts).value & 0xFFFFFFFF
    return kind in (_TMPFS, _RAMFS)


def targets(secrets: Iterable[SecretDelivery]) -> list[str]:
    """Return the places in the container the files will have."""
    return [f"{variables.FOLDER}/{secret.variable}" for secret in secrets if secret.way == "file"]
