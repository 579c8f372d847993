"""Test types that do what a test type must not; each run with one of them ends alone, in time and with the reason."""
import os
import signal
import subprocess
import time

from mcpweb.plugin import Check, CheckResult, Failure, TestType, hookimpl

mcpweb_api = 1
CHECKS = (Check("X01", "First", "low"), Check("X02", "Second", "high"))


def first(context, **evidence):
    return CheckResult("X01", "pass", "The first check holds.", evidence={"pid": os.getpid(), **evidence})


def good(context):
    with context.fresh() as session:
        yield first(context, tools=len(session.listing("tools")), container=session.container_id)
    yield CheckResult("X02", "not_applicable", "The second does not apply.")


def raises(context):
    session = context.fresh()
    yield first(context)
    raise RuntimeError(f"no idea what to do with {session.container_id[:6]}")


def leaves(context):
    context.fresh()
    yield first(context)
    raise SystemExit("enough")


def hangs(context):
    context.fresh()
    yield first(context)
    time.sleep(600)


def dies(context):
    context.fresh()
    yield first(context)
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGKILL)


def stops(context):
    context.fresh()
    yield first(context)
    os.kill(os.getpid(), signal.SIGSTOP)


def eats(context):
    yield first(context)
    eaten = []
    while True:
        eaten.append(bytearray(64 << 20))


def spawns(context):
    child = subprocess.Popen(["sleep", "600"])
    yield first(context, spawned=child.pid)
    time.sleep(600)


def babbles(context):
    yield first(context)
    yield "this is no result"


def decides_nothing(context):
    yield first(context)
    yield CheckResult("X02", "perhaps", "It is hard to say.")


def boasts_of_certainty(context):
    yield first(context)
    yield CheckResult("X02", "fail", "Trust me.", confidence="absolute")


def odd_text(context):
    deep = []
    for _ in range(50):
        deep = [deep]
    yield CheckResult(
        "X01", "fail", "half a character \ud800 and a zero \0", tool="\udfff",
        evidence={"\udc00": b"\xff\xfe", "nan": float("nan"), "deep": deep, "much": "x" * 10_000_000, "own": object()},
        input={"n": float("inf")}, next_step="\ud800",
    )
    context.progress(0.5, "half \ud800")


def floods(context):
    while True:
        yield first(context)


def asks_too_much(context):
    refused = {}
    own = context.fresh()

    def attempt(label, act):
        try:
            act()
            refused[label] = "allowed"
        except Failure as failure:
            refused[label] = failure.code

    attempt("network", lambda: context.fresh(network="outbound"))
    attempt("mounts", lambda: context.fresh(mounts=[]))
    attempt("limits", lambda: context.fresh(limits={"memory_mb": "much"}))
    attempt("unknown", lambda: context.fresh(privileged=True))
    own.close()
    own.container_id = "somebody else's"
    attempt("inspect", own.inspect)
    attempt("stop", own.stop)
    attempt("verb", lambda: context._parent.ask("exec", container_id="x"))
    attempt("nothing", lambda: context._parent.ask("inspect"))
    for _ in range(70):
        attempt("many", lambda: context.fresh(era="none"))
    yield first(context, refused=refused)


def scribbles(context):
    yield first(context)
    context._parent._sock.sendall(b"\x00\x00\x00\x04null")


def boasts(context):
    yield first(context)
    context._parent._sock.sendall(b"\xff\xff\xff\xff")


TYPES = (good, raises, leaves, hangs, dies, stops, eats, spawns, babbles, decides_nothing, boasts_of_certainty, odd_text,
         floods, asks_too_much, scribbles, boasts)


@hookimpl
def mcpweb_add_test_types():
    return [
        TestType(run.__name__, run.__name__, "A hostile one.", CHECKS, run, budget_s={"quick": 0.5 if run is hangs else 30.0})
        for run in TYPES
    ]
