"""Servers that are slow, or wear out, in one way each; and twins that are not.

A number in a name is the milliseconds of work in a call: ``perf-busy-2``, ``perf-sleep-6``.
"""

import array
import collections
import functools
import mmap
import os
import random
import threading
import time

from framework import Refused, Server, ToolFailed, corpus

HINTS = {"annotations": {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": True, "openWorldHint": False}}
LOCK = threading.Lock()


def busy(milliseconds):
    """Use so much time of a processor, however long that takes on a machine with other work."""
    until = time.thread_time() + milliseconds / 1000
    while time.thread_time() < until:
        pass


def asleep(milliseconds):
    time.sleep(milliseconds / 1000)


def answering(work):
    """Return a server with one tool that does ``work(call number)`` and answers."""
    server = Server("perf")
    count = iter(range(1, 10**9))

    @server.tool("work", "Do a bit of work and say so.", extra=False, **HINTS)
    def tool(arguments, call):
        work(next(count))
        return "done"

    return server


def register(name, make):
    corpus(name)(make)


# P03, P06: so much work in each call

for _ms in (0, 2, 2.4, 5, 6, 10, 12, 40, 48):
    register(f"perf-busy-{_ms:g}", lambda ms=_ms: answering(lambda number: busy(ms)))
    register(f"perf-sleep-{_ms:g}", lambda ms=_ms: answering(lambda number: asleep(ms)))


@corpus("perf-tail")
def tail():
    """Every tenth call takes a hundred times as long."""
    return answering(lambda number: asleep(100 if number % 10 == 0 else 1))


@corpus("perf-even")
def even():
    """As much time in all as perf-tail, the same for each call."""
    return answering(lambda number: asleep(10.9))


# P01: what a start costs


@corpus("perf-slow-import")
def slow_import():
    time.sleep(1.5)
    return answering(lambda number: None)


@corpus("perf-unsure-start")
def unsure_start():
    """Of many starts few come to something; three in a row hardly ever."""
    if random.SystemRandom().random() < 0.96:
        os._exit(3)
    return answering(lambda number: None)


# P02: what the agreement and a list cost


@corpus("perf-slow-agreement")
def slow_agreement():
    """Takes its time for the handshake and for the list of tools; calls are as quick as any."""
    server = answering(lambda number: asleep(10.9))
    server.era = "handshake"

    @server.on("initialize")
    def initialize(result, call):
        time.sleep(1)
        return result

    @server.on("tools/list")
    def tools(params, call):
        time.sleep(0.2)
        return {"tools": list(server.tools)}

    return server


# P03: calls that fail now and then


@corpus("perf-flaky")
def flaky():
    """Each eleventh call fails; the first ones do not."""
    def work(number):
        if number % 11 == 0:
            raise ToolFailed("Not this time.")

    return answering(work)


@corpus("perf-mute-later")
def mute_later():
    """Answers thirty calls and no more."""
    server = answering(lambda number: None)
    served = server.served

    def limited(method, params, call, modern):
        if method == "tools/call" and server.calls >= 30:
            threading.Event().wait()
        return served(method, params, call, modern)

    server.served = limited
    return server


@corpus("perf-one-miss")
def one_miss():
    """One call of all fails: nothing to make a fuss about."""
    def work(number):
        if number == 40:
            raise ToolFailed("Once only.")

    return answering(work)


# P04: one at a time, or several


@corpus("perf-locked")
def locked():
    def work(number):
        with LOCK:
            asleep(40)  # far more than what a busy machine adds to a call

    return answering(work)


@corpus("perf-refuses-many")
def refuses_many():
    """Answers three calls at once with success, and refuses the fourth."""
    gate = threading.Semaphore(3)

    def work(number):
        if not gate.acquire(blocking=False):
            raise Refused(-32000, "Too many calls at once")
        try:
            asleep(5)
        finally:
            gate.release()

    return answering(work)


@corpus("perf-queues-many")
def queues_many():
    """Three at once like perf-refuses-many; the others wait for their turn."""
    gate = threading.Semaphore(3)

    def work(number):
        with gate:
            asleep(5)

    return answering(work)


# P05, P07: what is left behind


def leaking(size, keep):
    left = {}

    def work(number):
        left[keep(number)] = b"x" * size
        asleep(1)

    return answering(work)


@corpus("perf-leak")
def leak():
    """Keeps 4 KiB of each call for ever."""
    return leaking(4 << 10, lambda number: number)


@corpus("perf-cache")
def cache():
    """Keeps 4 KiB of each of the last 500 calls."""
    return leaking(4 << 10, lambda number: number % 500)


@corpus("perf-hoard")
def hoard():
    """Keeps 1 MiB of each call for ever: a small memory is soon used up."""
    return leaking(1 << 20, lambda number: number)


def two_tools(keep, hints=HINTS):
    """Return a server whose cheapest tool keeps nothing, and whose other one calls ``keep(text, number)``."""
    server = Server("perf")
    count = iter(range(1, 10**9))

    @server.tool("greet", "Say good day.", extra=False, **HINTS)
    def greet(arguments, call):
        return "Good day"

    @server.tool("weigh", "Weigh the words of a text.", {"text": {"type": "string", "minLength": 1, "maxLength": 4000}},
                 required=["text"], extra=False, **hints)
    def weigh(arguments, call):
        keep(arguments["text"], next(count))
        return str(len(arguments["text"].split()))

    return server


def table():
    return array.array("H", [1]) * (1 << 16)


@corpus("perf-second-keeps")
def second_keeps():
    """Its second tool keeps 128 KiB of each call for ever."""
    kept = []
    return two_tools(lambda text, number: kept.append(table()))


@corpus("perf-second-recalls")
def second_recalls():
    """Its second tool keeps 128 KiB of each of the last 200 calls."""
    kept = collections.deque(maxlen=200)
    return two_tools(lambda text, number: kept.append(table()))


def trickling(keep, size=4 << 10):
    def work(text, number):
        keep(b"x" * size)
        asleep(1)

    return two_tools(work)


@corpus("perf-second-leaks")
def second_leaks():
    """Its second tool keeps 4 KiB of each call for ever."""
    return trickling([].append)


@corpus("perf-second-caches")
def second_caches():
    """Its second tool keeps 4 KiB of each of the last 200 calls."""
    return trickling(collections.deque(maxlen=200).append)


@corpus("perf-second-gathers")
def second_gathers():
    """Memory of its second tool rises by 128 KiB a call and comes back all at once, as where garbage is collected."""
    kept = []

    def keep(text, number):
        kept.append(mmap.mmap(-1, 128 << 10))
        kept[-1].write(b"x" * (128 << 10))
        if len(kept) >= 250:
            kept.clear()

    return two_tools(keep)


@corpus("perf-keyed")
def keyed():
    """Keeps 64 KiB for each text it did not see before, in a tool that does not say it only reads."""
    kept = {}
    return two_tools(lambda text, number: kept.setdefault(text, array.array("H", [1]) * (1 << 15)), {})


@corpus("perf-keyed-least")
def keyed_least():
    """As perf-keyed, for the 100 latest texts."""
    made = functools.lru_cache(100)(lambda text: array.array("H", [1]) * (1 << 15))
    return two_tools(lambda text, number: made(text), {})


@corpus("perf-threads")
def threads():
    """Starts a thread with each call, which never ends."""
    def work(number):
        threading.Thread(target=threading.Event().wait, daemon=True).start()

    return answering(work)


@corpus("perf-ages")
def ages():
    """Looks through all that it was ever asked, each time."""
    asked = []

    def work(number):
        asked.extend([number] * 200)
        sum(asked)

    return answering(work)


# What may be called at all


@corpus("perf-writes")
def writes():
    """Its only tool changes something."""
    server = Server("perf")
    server.tool("store", "Store something.", extra=False,
                annotations={"readOnlyHint": False, "destructiveHint": True})(lambda arguments, call: "stored")
    return server


@corpus("perf-dear-and-cheap")
def dear_and_cheap():
    """Three read-only tools: one is slow, one fails, one is quick; and one that writes is the quickest."""
    server = Server("perf")

    @server.tool("slow", "Take a while.", extra=False, **HINTS)
    def slow(arguments, call):
        asleep(120)
        return "done"

    @server.tool("broken", "Fail.", extra=False, **HINTS)
    def broken(arguments, call):
        raise ToolFailed("It is broken.")

    @server.tool("quick", "Say how long a word is.", {"word": {"type": "string", "maxLength": 50}}, extra=False, **HINTS)
    def quick(arguments, call):
        return str(len(arguments["word"]))

    @server.tool("delete", "Delete everything.", extra=False, annotations={"readOnlyHint": False, "destructiveHint": True})
    def delete(arguments, call):
        os._exit(9)

    return server
