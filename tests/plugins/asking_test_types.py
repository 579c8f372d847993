"""A test type that asks its context for everything there is, and tells what it got."""
from dataclasses import asdict

from mcpweb.plugin import Check, CheckResult, Failure, TestType, hookimpl, pin_hash

mcpweb_api = 1


def secrets(context):
    """Which value a container has: the place and the hash."""
    told = {}
    for name, more in {"real": {}, "canaries": {"canaries": True}}.items():
        with context.fresh(**more) as session:
            told[name] = [session.call("digest", {"variable": "API_KEY"})["content"][0]["text"], dict(session.canaries)]
            told[f"{name}_network"] = session.inspect().raw["Network"]
    return told


def looks(context):
    with context.fresh() as session:
        told = {
            "processes": session.processes(), "changes": [asdict(one) for one in session.changes()],
            "given_up": session.given_up, "silent_probe": session.silent_probe,
            "history": context.image.raw["History"], "config": context.image.raw["Config"],
        }
    with context.fresh() as session:
        pending = session.begin("tools/call", {"name": "echo", "arguments": {"text": "x"}})
        session.notify("notifications/roots/list_changed")
        load = session.load("echo", [{"text": "a"}, {"text": "b"}], calls=8, concurrency=2)
        told["begun"] = pending.result()["content"][0]["text"]
        told["load"] = [one.outcome for one in load.calls]
    return told


def measures(context):
    with context.fresh() as session, session.watch() as watch:
        at_start = len(watch.samples())
        session.load("echo", {"text": "a"}, calls=3)
    return {"at_start": at_start, "at_end": len(watch.samples()), "pids": watch.samples()[-1].pids,
            "floor": [one.outcome for one in context.floor(5).calls], "floor_ms": max(one.latency_ms for one in context.floor(50).calls)}


def ended(context):
    """A container that ends while it is watched ends the watch."""
    with context.fresh() as session:
        watch = session.watch()
        with watch:
            session.stop(1)
        return {"samples": len(watch.samples())}


def too_many(context):
    told = []
    with context.fresh() as session:
        watches = [session.watch() for _ in range(12)]
        for watch in watches:
            try:
                watch.__enter__()
            except Failure as failure:
                told.append(failure.code)
    return {"refused": told}


def files(context):
    first = next(context.image_files())
    every = {file.path: [file.layer, file.kind, file.data.decode()] for file in context.image_files()}
    chosen = [file.path for file in context.image_files(lambda file: file.path == "bin/tool") if file.data]
    return {"first": first.path, "every": every, "chosen": chosen}


def running(context):
    return {"running": [asdict(state) for state in context.running()]}


def schemas(context):
    definition = {"name": "add", "inputSchema": {"type": "object", "properties": {"a": {"type": "integer", "minimum": 0}}, "required": ["a"]}}
    cases = context.inputs(definition, valid=3, invalid=4)
    schema = definition["inputSchema"]
    return {
        "cases": [[one.label, one.arguments, one.valid] for one in cases],
        "same": cases == context.inputs(definition, valid=3, invalid=4),
        "judged": [not context.value_faults(schema, one.arguments) for one in cases],
        "shrunk": context.shrink({"a": 4000, "b": "x"}, lambda arguments: "b" in arguments),
        "faults": [context.schema_faults(schema), context.schema_faults({"type": "no such"})],
    }


def known(context):
    return {
        "neighbours": [asdict(one) for one in context.neighbours()], "pins": [asdict(one) for one in context.pins()],
        "cases": [asdict(one) for one in context.cases()], "hash": pin_hash({"b": 1, "a": "ü"}),
        "may": [context.may_see_secrets({"annotations": given}) for given in ({"readOnlyHint": True}, {"readOnlyHint": 1}, {}, None)],
    }


def baseline(context):
    told = {"baseline": context.baseline}
    try:
        with context.fresh(of="baseline") as old, context.fresh() as new:
            told["images"] = [old.inspect().image_id, new.inspect().image_id]
            told["environment"] = [one.inspect().raw["Config"]["Env"] for one in (old, new)]
    except Failure as failure:
        told["failure"] = [failure.code, failure.next_step]
    return told


def run(context):
    yield CheckResult("A01", "pass", "Asked.", evidence=globals()[context.parameters["ask"]](context))


def numbers(context):
    metrics = {"many": {f"m{n}": n for n in range(41)}, "nan": {"p50": float("nan")}, "text": {"p50": "1"}, "good": {"p50": 1.5}}
    way = context.parameters["ask"]
    yield CheckResult("A01", "pass", "Measured.", key="k" * 400, reproduce="Do it again.", metrics=metrics[way])


@hookimpl
def mcpweb_add_test_types():
    checks = (Check("A01", "Asks", "low"),)
    return [TestType("asks", "Asks", "Asks.", checks, run), TestType("numbers", "Numbers", "Tells numbers.", checks, numbers)]
