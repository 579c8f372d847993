"""The sinkhole as a test type sees it: all the network a server has, without a way out, and its log."""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

SinkKind = Literal["dns", "http", "tls", "tcp", "udp"]


@dataclass(frozen=True)
class SinkEvent:
    """Something a server tried to reach.

    ``name`` is what it asked for: the question of DNS, the Host header of HTTP, the server name of TLS; ``address`` and
    ``port`` where the packet went to. ``path``, ``headers`` and ``body`` (4 KiB at most) belong to HTTP. ``at`` counts
    events from 1, in the order in which they came.
    """

    at: int
    kind: SinkKind
    name: str = ""
    address: str = ""
    port: int = 0
    method: str = ""
    path: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""

    def mentions(self, text: str) -> bool:
        """Tell whether the text is anywhere in what was asked; names are compared without case."""
        if text.lower() in self.name.lower():
            return True
        return any(text in part for part in (self.path, self.body, *(value for _, value in self.headers)))


class Sink(ABC):
    """A network namespace of its own that answers whatever is asked in it: any name, HTTP on the usual ports, the
    metadata address of clouds. Nothing leaves it."""

    container_id: str
    hostname: str
    """What the servers behind it find in /etc/hostname: random, and told to nobody else."""

    @abstractmethod
    def host(self, label: str = "probe") -> str:
        """Return a name that was never used before and means an address that looks public.

        One made for the label ``rebind`` means 127.0.0.1 from the second question on; one for ``loop`` means 127.0.0.1,
        for ``meta`` the metadata address of clouds, for ``priv`` a private address, and so does any name below or above it
        that has such a label. An http request for ``/redirect/CODE?to=URL`` is answered with that redirect.
        """

    @abstractmethod
    def answer(self, path: str) -> str:
        """Return the text with which a request for this path is answered; only this sink can know it."""

    @abstractmethod
    def events(self, since: int = 0) -> list[SinkEvent]:
        """Return what was tried until now and came after event ``since``, oldest first. Raises Unavailable."""

    @abstractmethod
    def wait(self, wanted: Callable[[SinkEvent], bool], *, deadline_s: float) -> SinkEvent | None:
        """Return the first event that fits (old ones count), None after the deadline."""
