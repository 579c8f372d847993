"""Cases for a tool: pairwise over its arguments' boundary sets, one fault at a time for the invalid ones, all verified."""
from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mcpweb.bench.inputs import judge
from mcpweb.bench.inputs.faults import schema_faults
from mcpweb.bench.inputs.nodes import ABSENT, Node, Nodes, Option, with_needed
from mcpweb.bench.inputs.schemas import Document, escaped
from mcpweb.contracts import InputCase

MOST_PAIRED = 16
MOST_LEVELS = 7
ROUNDS = 3
MOST_KEPT = 200


def cases(
    definition: Mapping[str, Any], *, seed: int, valid: int = 10, invalid: int = 15,
    known: Mapping[str, Sequence[Any]] | None = None,
) -> list[InputCase]:
    """Return input for a tool, made from its input schema: the same for the same seed.

    A valid case satisfies the schema, formats included; an invalid one violates it by one fault, and would also where
    formats are not looked at. The first valid case is the likeliest to make the tool work: likely values for what is
    required, nothing else; the second has every property. ``known`` are values seen in this server's results, by the
    name they had. Empty for a schema that is not usable, or whose judging takes too long.
    """
    schema = definition.get("inputSchema")
    if not isinstance(schema, dict) or schema_faults(schema):
        return []
    rng = random.Random(f"{seed}:{definition.get('name')}")  # noqa: S311 - cases, not secrets
    try:
        ways = Nodes(Document(schema), rng, known or {}).ways(schema)
        ways = [node for node in ways if isinstance(node.best, dict)]
        good = _verified(schema, _interleaved([_valid(node, valid, rng) for node in ways]), True)[:valid]
        faults = [option for node in ways for option in node.bad if isinstance(option.value, dict)]
        bad = _verified(schema, _spread(faults, rng), False)[:invalid]
    except (judge.Undecided, judge.SchemaFault, RecursionError):
        return []
    return good + bad


def shrink(arguments: Mapping[str, Any], fails: Callable[[dict[str, Any]], bool], *, most: int = 30) -> dict[str, Any]:
    """Return smaller arguments for which ``fails`` still holds; it is asked at most ``most`` times.

    Properties are deleted, lists and texts halved, numbers brought nearer to zero, one step at a time.
    """
    best = dict(arguments)
    asked = 0
    again = True
    while again:
        again = False
        for smaller in _smaller(best):
            if asked >= most:
                return best
            asked += 1
            if fails(smaller):
                best, again = smaller, True
                break
    return best


def _smaller(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        for key in value:
            yield {name: inner for name, inner in value.items() if name != key}
        for key, inner in value.items():
            for less in _smaller(inner):
                yield {**value, key: less}
    elif isinstance(value, list):
        if len(value) > 1:
            yield value[: len(value) // 2]
            yield value[len(value) // 2 :]
        elif value:
            yield []
        for at, inner in enumerate(value[:4]):
            for less in _smaller(inner):
                yield [*value[:at], less, *value[at + 1 :]]
    elif isinstance(value, str) and value:
        yield value[: len(value) // 2]
        if len(value) > 1:
            yield value[len(value) // 2 :]
    elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) > 1:
        yield int(value / 2)


def _valid(node: Node, most: int, rng: random.Random) -> list[Option]:
    """Return candidates for one branch: the likeliest, the smallest, then a cover of all pairs of boundary values."""
    if not node.parts:
        return list(node.good)
    best = {name: part.best for name, part in node.parts.items()}
    small = with_needed({name: best[name] for name in best if name in node.required}, best, node.needs)
    first = "the likeliest values" if small == best else "required only"
    made = [Option(small, first if small else "no arguments"), Option(best, "with every property")]
    named = list(node.parts)
    levels = {name: _levels(node.parts[name], name in node.required) for name in named}
    for chosen in _pairwise({name: len(levels[name]) for name in named[:MOST_PAIRED]}, most * 2, rng):
        options = {name: levels[name][chosen.get(name, 0)] for name in named}
        arguments = {name: option.value for name, option in options.items() if option.value is not ABSENT}
        words = {name: option.what or ("given" if option is node.parts[name].good[0] else "another value")
                 for name, option in options.items() if chosen.get(name, 0)}
        said = [f"/{escaped(name)}{options[name].at}: {what}" for name, what in words.items()]
        made.append(Option(with_needed(arguments, best, node.needs), "; ".join(said)))
    return made


def _levels(node: Node, required: bool) -> list[Option]:
    """Return the values one property takes: what is usual first, then boundaries, and others as far as there is room."""
    others = sorted(node.good[1:], key=lambda option: not option.what)
    most = 3 * MOST_LEVELS if node.parts else MOST_LEVELS + 4
    return [*([] if required else [Option(ABSENT, "left out")]), node.good[0], *others[:most]]


def _pairwise(sizes: Mapping[str, int], most: int, rng: random.Random) -> Iterable[dict[str, int]]:
    """Yield rows of a covering array, greedily: each row takes in as many new pairs as one of a few tries finds."""
    names = list(sizes)
    open_pairs = {
        ((one, left), (other, right)) for one, other in itertools.combinations(names, 2)
        for left in range(sizes[one]) for right in range(sizes[other])
    } | {((name, level), (name, level)) for name in names for level in range(1, sizes[name])}
    for _ in range(most):
        if not open_pairs:
            return
        best: dict[str, int] = {}
        found: set[Any] = set()
        for _ in range(ROUNDS):
            row: dict[str, int] = {}
            for name in rng.sample(names, len(names)):
                scores = [sum(_pair(names, name, level, other, row[other]) in open_pairs for other in row)
                          + 2 * (((name, level), (name, level)) in open_pairs) for level in range(sizes[name])]
                row[name] = rng.choice([level for level, score in enumerate(scores) if score == max(scores)])
            covers = {_pair(names, one, row[one], other, row[other]) for one, other in itertools.combinations(names, 2)}
            covers |= {((name, level), (name, level)) for name, level in row.items()}
            if len(covers & open_pairs) > len(found) or not best:
                best, found = row, covers & open_pairs
        open_pairs -= found
        yield best


def _pair(names: list[str], one: str, left: int, other: str, right: int) -> Any:
    return ((one, left), (other, right)) if names.index(one) < names.index(other) else ((other, right), (one, left))


def _spread(options: Sequence[Option], rng: random.Random) -> list[Option]:
    """Order faults so that the first few are of as many kinds, and of as many places, as there are."""
    kinds: dict[str, list[Option]] = {}
    for option in rng.sample(list(options), len(options)):
        kinds.setdefault(option.what, []).append(option)
    first = ("missing", "a property that is not allowed")
    groups = sorted(kinds, key=lambda kind: (kind not in first, list(kinds).index(kind)))
    return _interleaved([kinds[kind] for kind in groups])


def _interleaved(groups: Sequence[Sequence[Option]]) -> list[Option]:
    return [option for row in itertools.zip_longest(*groups) for option in row if option is not None]


def _verified(schema: Any, options: Sequence[Option], valid: bool) -> list[InputCase]:
    seen: dict[str, Option] = {}
    for option in options:
        seen.setdefault(json.dumps(option.value, sort_keys=True), option)
    kept = list(seen.values())[:MOST_KEPT]
    # whether a format is looked at is up to the server: a case must be what it is called either way
    readings = [judge.ask(schema, [option.value for option in kept], formats=formats) for formats in (True, False)]
    return [
        InputCase(f"{option.at}: {option.what}" if option.at else option.what or "the likeliest values", option.value, valid)
        for option, *verdicts in zip(kept, *readings, strict=True)
        if all(not faults if valid else bool(faults) and not isinstance(faults, str) for faults in verdicts)
    ]
