#!/usr/bin/env python3
"""Learn what sentences ask of their readers from tools/wording/*.txt, and write the weights the security test reads.

    tools/wording.py            write plugins/testtype_security/wording/weights.tsv
    tools/wording.py --check    say whether that file is what these texts give (exit 1 if not)
    tools/wording.py --stamp    say so by the hashes in its first line, in a moment and without learning anew
    tools/wording.py --folds    hold out one style after the other and tell what is found there
    tools/wording.py --sets     learn without one set after the other, and tell what is found in that one's texts

A line is ``class | passage`` or ``plain | tool | what it does | passage``; {a|b} stands for either, ``@name`` marks a parameter of
the tool, ``%name`` a tool of its server, ``^name`` one of another, and a passage that begins with ``@name:`` describes that
parameter. ``* | *`` stands for any tool of topics.txt. A line of everyday.txt is a plain text of any tool, or ``name: text`` of a
parameter. independent-N.txt, contrast-N.txt and documents-N.txt are sets in manners of their own, each scored before it was learned from: ``# tool | what it does``, below it
``class | passage`` without alternatives. Nothing is left to chance but by a seed: the same texts give the same weights.
"""
from __future__ import annotations

import argparse
import hashlib
import math
import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from mcpweb.pluginhost import import_folder  # noqa: E402

import_folder("testtype_security", ROOT / "plugins" / "testtype_security")
from mcpweb_plugins.testtype_security import utterance, wording  # noqa: E402

TEXTS = ROOT / "tools" / "wording"
WEIGHTS = ROOT / "plugins" / "testtype_security" / "wording" / "weights.tsv"
VARIANTS, ROUNDS, RATE, FREEDOM = 4, 6, 0.1, 0.5
LINES_AT_LEAST, WEIGHT_AT_LEAST = 2, 0.08
CONTRAST, PLAIN_COUNTS = 2.0, 2.0  # what a line of a pair counts, and a plain one of none


@dataclass(frozen=True)
class Passage:
    """One text in one place, from one line of one style."""

    kind: str
    style: str
    line: int
    text: str
    about: utterance.About
    whole: bool  # the passage as such is of its kind, not each of its sentences


def passages(variants: int = VARIANTS) -> Iterator[Passage]:
    """Yield every line in several wordings and places."""
    topics = [tuple(line.split(" | ")) for line in (TEXTS / "topics.txt").read_text(encoding="utf-8").splitlines() if " | " in line]
    number = 0
    for file in ("told.txt", "plain.txt"):
        style = ""
        for line in (TEXTS / file).read_text(encoding="utf-8").splitlines():
            if line.startswith("= "):
                style = f"{file[:-4]}: {line[2:]}"
            if " | " not in line:
                continue
            number += 1
            chance = random.Random(f"{number} {line}")
            kind, rest = line.split(" | ", 1)
            name, does, passage = rest.split(" | ", 2) if kind == "plain" else ("*", "*", rest)
            for variant in range(variants):
                tool = chance.choice(topics)
                called, said = tool[0] if name == "*" else name, tool[1] if does == "*" else does
                yield from _placed(kind, style, number, _worded(passage, chance), called, said, chance, variant)
    for said in (TEXTS / "everyday.txt").read_text(encoding="utf-8").splitlines():
        number += 1
        chance = random.Random(said)
        for variant in range(2):
            tool = chance.choice(topics)
            text = f"@{said}" if re.match(r"[a-z_]+: ", said) else said
            yield from _placed("plain", f"plain: everyday {number % 5}", number, text, *tool, chance, variant)
    yield from independent()
    for name, does in topics:
        number += 1
        yield Passage("plain", "plain: topics", number, does, utterance.About(topic=spaced(name)), False)


def independent() -> Iterator[Passage]:
    """Yield the lines of independent-N.txt, each where it stands, and texts of tools once more as what a tool says first."""
    for at, path in enumerate(sorted(one for name in ("independent", "contrast", "documents") for one in TEXTS.glob(f"{name}-*.txt"))):
        name = does = ""
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
            mark, _, rest = line.partition(" | ")
            if mark.startswith("# "):
                name, does = mark[2:], rest
            elif rest:
                chance = random.Random(rest)
                for said in dict.fromkeys(_worded(rest, chance) for _ in range(2 if "{" in rest else 1)):
                    for one in _placed(mark, path.stem, 10_000 * (at + 1) + number, said, name, does, None, 0):
                        yield one
                        if one.kind != "plain" and not one.about.parameter:
                            yield replace(one, about=replace(one.about, opening=True))


def spaced(name: str) -> str:
    return re.sub(r"[_-]", " ", name)


def _worded(passage: str, chance: random.Random) -> str:
    return re.sub(r"\{([^{}]*)\}", lambda match: chance.choice(re.split(r"(?<! )\|(?! )", match[1])), passage).strip()


def _placed(kind: str, style: str, line: int, said: str, name: str, does: str, chance: random.Random | None, variant: int) -> Iterator[Passage]:
    marks = {mark: frozenset(found.lower() for found in re.findall(rf"(?<!\w){re.escape(mark)}([a-z_]\w*)", said)) for mark in "@%^"}
    text = re.sub(r"(?<!\w)[@%^](?=[a-z_]\w*)", "", said)
    topic = f"{spaced(name)}\n{does}"
    extra = frozenset(chance.sample(("value", "city", "amount", "lang", "mode"), 2) if chance else ())
    about = utterance.About(opening=False, carriers=marks["@"] | extra, own=marks["%"], others=marks["^"], topic=topic)
    if (match := re.match(r"@([a-z_]\w*):\s*", said, re.IGNORECASE)) is not None:
        yield Passage(kind, style, line, text[match.end() - 1 :], _at(about, match[1].lower()), kind != "plain")
        return
    if chance is None:  # where it stands is known
        yield Passage(kind, style, line, text, about, kind != "plain")
        if kind == "plain":
            yield Passage(kind, style, line, text, replace(about, opening=True), False)
        return
    if kind == "asks":  # the same words may stand under many a name
        here = chance.choice(("note", "comment", "ref", "hint", "context", "memo", "extra", "info", "tag", "meta", "remarks", "x", "client", "reason"))
        yield Passage(kind, style, line, text, _at(about, here), True)
        return
    yield Passage(kind, style, line, text, about, kind != "plain")
    if kind == "plain":
        yield Passage(kind, style, line, f"{does} {text}" if variant % 2 else text, replace(about, opening=True), False)
    elif variant % 3 == 0:
        yield Passage(kind, style, line, text, _at(about, chance.choice(("note", "q", "ref", "text", "options"))), True)
    elif variant % 3 == 1:
        yield Passage(kind, style, line, text, replace(about, opening=True), True)


def _at(about: utterance.About, here: str) -> utterance.About:
    return replace(about, parameter=True, carriers=about.carriers | {here}, here=here)


Example = tuple[int, list[str], int, float]  # class, features, line, what it counts


def examples(told: list[Passage]) -> list[Example]:
    """Return what is learned from: each breath of a plain text, the whole of the others; a line in many places counts less in each."""
    found: list[Example] = []
    for one in told:
        kind = wording.CLASSES.index(one.kind)
        breaths = list(utterance.breaths(one.text, one.about))
        if one.whole and breaths:
            most = max(breath.parts for breath in breaths)
            breaths = [breath for breath in breaths if breath.parts == most]
        counts = CONTRAST if one.style.startswith("contrast") else 1.0 if kind or one.style.startswith("documents") else PLAIN_COUNTS
        found += [(kind, list(breath.features), one.line, counts) for breath in breaths]
    times = Counter(line for _, _, line, _ in found)
    return [(kind, features, line, counts / math.sqrt(times[line])) for kind, features, line, counts in found]


def learn(found: list[Example]) -> tuple[dict[str, list[float]], list[float]]:
    """Return the weights of a multinomial logistic regression held small (L2), by steps of falling length, the later rounds averaged."""
    lines: dict[str, set[int]] = defaultdict(set)
    for _, features, line, _ in found:
        for name in features:
            lines[name].add(line)
    numbers = {name: at for at, name in enumerate(sorted(name for name, seen in lines.items() if len(seen) >= LINES_AT_LEAST))}
    rows = [(kind, [numbers[name] for name in features if name in numbers], wording.value(len(features)), counts) for kind, features, _, counts in found]
    whole = sum(counts for *_, counts in rows)
    classes = range(len(wording.CLASSES))
    table = [[0.0] * len(classes) for _ in numbers]
    later = [[0.0] * len(classes) for _ in numbers]
    bias = [0.0] * len(classes)
    chance, shrink, held, steps = random.Random(20), 1 / (FREEDOM * whole), 1.0, 0  # what is in the table counts ``held`` times
    for turn in range(ROUNDS):
        chance.shuffle(rows)
        for kind, features, scale, counts in rows:
            steps += 1
            rate = RATE / (1 + 4 * RATE * shrink * steps)
            held *= 1 - rate * shrink
            weighed = [table[at] for at in features]
            sums = [base + held * scale * sum(column) for base, column in zip(bias, zip(*weighed, strict=True), strict=True)] if weighed else list(bias)
            top = max(sums)
            raised = [math.exp(one - top) for one in sums]
            every = sum(raised)
            wrong = [(1.0 if at == kind else 0.0) - one / every for at, one in enumerate(raised)]
            if wrong[kind] < 0.01:
                continue
            moves = [one * rate * counts * len(rows) / whole for one in wrong]
            for at in classes:
                step = moves[at] * scale / held
                bias[at] += 0.1 * moves[at]
                for row in weighed:
                    row[at] += step
        if turn >= ROUNDS // 2:
            for sum_, row in zip(later, table, strict=True):
                for at in classes:
                    sum_[at] += row[at] * held / (ROUNDS - ROUNDS // 2)
    return {name: later[at] for name, at in numbers.items()}, bias


def written(table: dict[str, list[float]], bias: list[float]) -> str:
    """Return the file of weights: whole hundredths, what weighs next to nothing left out."""
    lines: list[str] = []
    lines.append("\t".join(["", *(str(round(one * 100)) for one in bias)]))
    for name, row in sorted(table.items()):
        if max(row) - min(row) >= WEIGHT_AT_LEAST:
            lines.append("\t".join([name, *("" if round(one * 100) == 0 else str(round(one * 100)) for one in row)]))
    body = "\n".join(lines) + "\n"
    return f"# What a feature weighs, in hundredths, for: {', '.join(wording.CLASSES)}. Written by tools/wording.py: {stamp(body)}\n{body}"


def stamp(body: str) -> str:
    """Return what ties weights to all they are learned from: the texts, the ideas, and the code that reads them."""
    here = WEIGHTS.parent
    read = [*sorted(TEXTS.glob("*.txt")), Path(__file__), *sorted(here.glob("*.py")), here / "ideas.txt", here.parent / "utterance.py", here.parent / "script.py"]
    texts = hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in read)).hexdigest()[:16]
    return f"{texts} {hashlib.sha256(body.encode()).hexdigest()[:16]}"


def trained() -> str:
    return written(*learn(examples(list(passages()))))


def folds(count: int) -> None:
    """Hold out styles, learn from the rest, and tell what is found among those held out, at several bounds."""
    told = list(passages())
    styles = sorted({one.style for one in told})
    parts = [[style for at, style in enumerate(styles) if at % count == part] for part in range(count)]
    worst: list[tuple[str, str, float, Passage]] = []
    for part in parts:
        table, bias = learn(examples([one for one in told if one.style not in part]))
        fresh = ({name: tuple(row) for name, row in table.items()}, tuple(bias))
        wording.weights = lambda fresh=fresh: fresh  # type: ignore[assignment, misc]
        worst += [(one.kind, one.style, 1 - min(wording.chances(b.features)[0] for b in utterance.breaths(one.text, one.about)), one) for one in told if one.style in part]
    for bound in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        rows = []
        for kind in wording.CLASSES:
            of = [chance for name, _, chance, _ in worst if name == kind]
            rows.append(f"{kind} {sum(chance >= bound for chance in of)}/{len(of)} = {sum(chance >= bound for chance in of) / len(of):.1%}")
        print(bound, "  ".join(rows))
    print(Counter(style for kind, style, chance, _ in worst if (kind != "plain") == (chance < 0.7)).most_common(40))
    seen: set[int] = set()
    for kind, style, chance, one in sorted(worst, key=lambda row: row[2] if row[0] != "plain" else 1 - row[2]):
        if (kind != "plain") == (chance < 0.7) and one.line not in seen:
            seen.add(one.line)
            print(f"{kind:6} {chance:.2f} {style}: {one.text[:230]}  [{one.about.topic.partition(chr(10))[0]}; {one.about.here}]")


def sets() -> None:
    """Hold out one set after the other, learn from the rest, and count what is found of each class at several bounds."""
    told = list(passages(2))
    of = {one.style: one.style if one.style.startswith("independent") else "all others" for one in told}
    for held in sorted({*of.values()}):
        table, bias = learn(examples([one for one in told if of[one.style] != held]))
        fresh = ({name: tuple(row) for name, row in table.items()}, tuple(bias))
        wording.weights = lambda fresh=fresh: fresh  # type: ignore[assignment, misc]
        seen = {(one.line, one.about.here): one for one in reversed(told) if of[one.style] == held}
        rows = [(one.kind, utterance.score(utterance.read(one.text, one.about, 0.0))) for one in seen.values()]
        print(held)
        for bound in (0.3, 0.4, 0.5, utterance.LIMIT, 0.6, 0.7, 0.8):
            counts = [(kind, [chance for name, chance in rows if name == kind]) for kind in wording.CLASSES]
            print(f"  {bound:.2f}", "  ".join(f"{kind} {sum(one >= bound for one in chances)}/{len(chances)}" for kind, chances in counts))


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--check", action="store_true")
    asked.add_argument("--folds", nargs="?", type=int, const=6)
    asked.add_argument("--sets", action="store_true")
    asked.add_argument("--stamp", action="store_true")
    given = asked.parse_args()
    if given.stamp:
        first, _, body = WEIGHTS.read_text(encoding="utf-8").partition("\n")
        same = first.endswith(stamp(body))
        print("the weights are stamped with what they are learned from" if same else "texts, code or weights were changed since: run tools/wording.py")
        return 0 if same else 1
    if given.sets:
        sets()
        return 0
    if given.folds:
        folds(given.folds)
        return 0
    text = trained()
    if given.check:
        same = WEIGHTS.exists() and WEIGHTS.read_text(encoding="utf-8") == text
        print("the weights are what the texts give" if same else "the weights are not what the texts give: run tools/wording.py")
        return 0 if same else 1
    WEIGHTS.write_text(text, encoding="utf-8")
    print(f"{WEIGHTS.relative_to(ROOT)}: {len(text.splitlines())} lines, {len(text.encode())} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
