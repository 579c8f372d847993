"""D06: does a value become part of a statement of a database? Shown by a computed value, by answers that follow a condition,
or by errors that follow the grammar of SQL."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from mcpweb.plugin import CheckResult

from . import marks
from .attack import Attack, Family, declared
from .lab import Reply

CHECK = "D06"
FIX = "Use parameters (? or :name) for every value; check names of tables and columns against a list."
SQL = r"\b(sql|query language|database query|select statement|statements?)\b"
CLAUSE = r"\b(where|filters?|conditions?|predicate|expression|clause|formula)\b"

ERRORS = re.compile(
    r"unrecognized token|unterminated quoted string at or near|syntax error at or near|near \"[^\"]{0,40}\": syntax error"
    r"|incomplete input|org\.h2\.jdbc|sqlite_error|sqlstate\[?"
    r"|you have an error in your sql|sql syntax.{0,40}(mysql|mariadb)|sqlite3?\.(operational|programming)error"
    r"|ora-\d{5}|unclosed quotation mark|quoted string not properly terminated|psycopg|pg::syntaxerror|sqlalchemy\.exc"
    r"|jdbcsqlsyntaxerror|sqlsyntaxerrorexception|syntax error in sql|duckdb.{0,20}(parser|binder)|parser error: syntax error"
    r"|sql logic error|incorrect syntax near|sql error|er_parse_error",
    re.IGNORECASE,
)
NOT_SQL = re.compile(r"\b(ba|da|a)?sh: |fts5: syntax|malformed match|regular expression|json", re.IGNORECASE)
CONDITIONS = (
    ("text", "{v}' OR {c} -- "),
    ("text", "{v}' OR {c} OR '1'='2"),
    ("pattern", "{v}%' OR {c} -- "),
    ("text in parentheses", "{v}') OR ({c}) -- "),
    ("number", "0 OR {c}"),
    ("number in parentheses", "0) OR ({c}"),
    ("text, joined", "{v}'||(CASE WHEN {c} THEN '' ELSE 'q' END)||'"),
    ("number or name of a column, computed", "(CASE WHEN {c} THEN 1 ELSE abs(-9223372036854775807-1) END)"),
    ("number or name of a column, in an order", "(CASE WHEN {c} THEN rowid ELSE -rowid END)"),
    ("number or name of a column", "{c} OR 'q'"),
    ("text, double quotes", '{v}" OR {c} -- '),
    ("text", "{v}' AND {c} -- "),
    ("number", "{v} AND {c}"),
    ("text, MySQL", "{v}' OR {c} # "),
)
FIRST = 10  # of these are tried on every field
UNIONS = (
    "{z}' UNION SELECT {c} -- ",
    "-1 UNION SELECT {c}",
    "{z}') UNION SELECT {c} -- ",
    '{z}" UNION SELECT {c} -- ',
    "{z}%' UNION SELECT {c} -- ",
)
VALUES = ("{z}'||({c})||'", "{z}'+({c})+'", "{z}',({c})) -- ", "({c})")


def first(attack: Attack) -> Iterator[CheckResult | None]:
    """Try conditions for the common places of a value, computed columns, and a quote."""
    whole = _whole(attack)
    if whole:
        attack.board.note(CHECK, attack.point, whole)
        return
    for place, frame in CONDITIONS[:FIRST] if attack.point.kind != "number" else (*CONDITIONS[4:6], CONDITIONS[7]):
        verdict = _condition(attack, place, frame)
        if verdict is not None:
            yield verdict
            return
    if attack.point.kind != "number":
        verdict = _grammar(attack) or _joined(attack)
        if verdict is not None:
            yield verdict


def more(attack: Attack) -> Iterator[CheckResult | None]:
    """Try further places, and one to eight computed columns."""
    if _whole(attack):
        return
    for place, frame in CONDITIONS[FIRST:]:
        verdict = _condition(attack, place, frame)
        if verdict is not None:
            yield verdict
            return
    for frame in UNIONS:
        for columns in range(1, 9):
            verdict = _computed(attack, frame, columns)
            if verdict is not None:
                yield verdict
                return
    for frame in VALUES:
        verdict = _computed(attack, frame, 1)
        if verdict is not None:
            yield verdict
            return


def _whole(attack: Attack) -> str:
    """Return why nothing is to be found in a field that takes whole statements by design."""
    a, b = marks.number(), marks.number()
    if declared(attack.point, SQL) and str(a * b) in attack.send(f"SELECT {a}*{b}").text:
        return f"{attack.point.pointer} takes whole statements, as the tool says of itself"
    return ""


def same(attack: Attack, reply: Reply, sent: str) -> str:
    """Return an answer without what it repeats of the request, and without times."""
    text = reply.text
    forms = {
        sent,
        sent.strip(),
        sent.replace("'", "\\'"),
        sent.replace("'", "''"),
        sent.replace('"', '\\"'),
        sent.replace("'", "&#39;"),
        sent.replace("'", "&#x27;"),
        sent.lower(),
        sent.upper(),
        quote(sent),
        quote_plus(sent),
        html.escape(sent),
        repr(sent),
    }
    for form in sorted((form for form in forms if form), key=len, reverse=True):
        text = text.replace(form, "…")
    text = re.sub(r"…\s*", "…", text)
    text = re.sub(r"\d{1,4}[-:/.]\d{2}[-:/.]\d{2}\S*|\b\d+(\.\d+)?\s?(ms|s|µs)\b", "…", text)
    return f"{reply.outcome} {text}"


def _condition(attack: Attack, place: str, frame: str) -> CheckResult | None:
    """Compare answers to three true and three false conditions made of the same signs in another order."""
    seen: dict[bool, list[tuple[str, str]]] = {True: [], False: []}
    for _ in range(3):
        low, high = sorted((marks.number(6), marks.number(6)))
        if low == high:
            high += 2
        for truth, condition in ((True, f"{low}<{high}"), (False, f"{high}<{low}")):
            sent = frame.replace("{v}", attack.valid).replace("{c}", condition)
            reply = attack.send(sent)
            if reply.outcome in ("timeout", "gone"):
                return None
            answer = same(attack, reply, sent)
            if any(str(number) in answer for number in (low, high)):
                return None  # it repeats what was asked in a coat we do not know
            seen[truth].append((sent, answer))
        if {answer for _, answer in seen[True]} & {answer for _, answer in seen[False]}:
            return None
        if any(len({answer for _, answer in answers}) > 1 for answers in seen.values()):
            return None
    sent, true_answer = seen[True][-1]
    false_sent, false_answer = seen[False][-1]
    if " AND " in frame and same(attack, attack.plain(), attack.valid) != true_answer:
        return None  # what is added with AND and is true changes nothing
    if place.startswith("number") and attack.point.kind == "text" and declared(attack.point, CLAUSE):
        attack.board.note(CHECK, attack.point, f"{attack.point.pointer} takes conditions, as the tool says of itself")
        return None
    return attack.fail(
        CHECK,
        f"A value in {attack.point.pointer} becomes part of an SQL condition ({place}): answers follow whether it is true.",
        sent=sent,
        next_step=FIX,
        way="boolean difference",
        true={"sent": sent, "answer": true_answer[:400]},
        false={"sent": false_sent, "answer": false_answer[:400]},
        repeated=3,
    )


def _computed(attack: Attack, frame: str, columns: int) -> CheckResult | None:
    pairs = []
    for _ in range(2):
        a, b = marks.number(), marks.number()
        sent = frame.replace("{z}", marks.token()).replace("{v}", attack.valid).replace("{c}", ",".join([f"{a}*{b}"] * columns))
        reply = attack.send(sent)
        if str(a * b) not in reply.text:
            return None
        pairs.append((sent, str(a * b), reply))
    if attack.calculates():
        return None
    sent, result, reply = pairs[-1]
    return attack.fail(
        CHECK,
        f"A value in {attack.point.pointer} becomes part of an SQL statement: a column it asked for was computed.",
        sent=sent,
        next_step=FIX,
        way="computed column",
        computed=result,
        reply=reply,
        mark=result,
        first={"sent": pairs[0][0], "computed": pairs[0][1]},
    )


def _error(reply: Reply) -> str:
    found = ERRORS.search(reply.text)
    return found[0] if found and not NOT_SQL.search(reply.text) else ""


def _grammar(attack: Attack) -> CheckResult | None:
    """Look whether errors of a database follow the grammar of SQL: an odd quote breaks it, a doubled one does not."""
    if declared(attack.point, SQL):
        return None  # what parses statements by design complains about them, too
    for sign in ("'", '"'):
        shown = []
        for _ in range(2):
            word = marks.token(6)
            broken = attack.send(f"{word}{sign}")
            error = _error(broken)
            if not error:
                break
            sound = [attack.send(word), attack.send(f"{word}{sign * 2}{word}")]
            broken_again = attack.send(f"{word}{sign * 2}{word}{sign}")
            if any(not reply.answered or _error(reply) for reply in sound) or not _error(broken_again):
                break
            shown.append((f"{word}{sign}", error, broken))
        else:
            sent, error, reply = shown[-1]
            return attack.fail(
                CHECK,
                f"A quote in {attack.point.pointer} breaks an SQL statement: {error!r}; a doubled one does not.",
                sent=sent,
                confidence="firm",
                severity="high",
                next_step=FIX,
                way="error signature",
                reply=reply,
                mark=error,
                first={"sent": shown[0][0], "error": shown[0][1]},
            )
    return None


def _joined(attack: Attack) -> CheckResult | None:
    """Look whether answers follow the grammar of SQL where they say nothing of it: two joined texts are one, three bars are none.

    Who counts quotes or takes them out sees no difference between two bars and three.
    """
    if declared(attack.point, SQL):
        return None
    kept: list[tuple[str, str, str, str]] = []
    for _ in range(3):
        word = marks.token(6)
        rows = (f"{word}'||'{word}", f"{word}''{word}"), (f"{word}'|||'{word}", f"{word}'{word}", f"{word}'||'{word}'")
        sound, broken = ([(text, attack.send(text)) for text in texts[:1]] for texts in rows)
        if _outcome(attack, sound[0][1], sound[0][0], word) == _outcome(attack, broken[0][1], broken[0][0], word):
            return None
        sound += [(text, attack.send(text)) for text in rows[0][1:]]
        broken += [(text, attack.send(text)) for text in rows[1][1:]]
        if any(not reply.answered for _, reply in (*sound, *broken)):
            return None
        whole, torn = ({_outcome(attack, reply, text, word) for text, reply in row} for row in (sound, broken))
        if len(whole) != 1 or len(torn) != 1 or whole == torn or (kept and (kept[0][1], kept[0][3]) != (*whole, *torn)):
            return None
        kept.append((sound[0][0], next(iter(whole)), broken[0][0], next(iter(torn))))
    sent, whole_answer, broken_sent, torn_answer = kept[-1]
    return attack.fail(
        CHECK,
        f"A value in {attack.point.pointer} becomes part of an SQL statement: answers follow whether it keeps to its grammar.",
        sent=broken_sent,
        confidence="firm",
        severity="high",
        next_step=FIX,
        way="grammar",
        sound={"sent": sent, "answer": whole_answer[:400]},
        broken={"sent": broken_sent, "answer": torn_answer[:400]},
        repeated=3,
    )


def _outcome(attack: Attack, reply: Reply, sent: str, word: str) -> str:
    """Return an answer without the word that was made up for it and whatever of the signs around it is repeated."""
    text = same(attack, reply, sent)
    return re.sub(r"\d+", "0", re.sub(rf"[\\\"'|…]*{word}[\\\"'|{word}]*|…", "…", text)) if reply.ok else reply.outcome


FAMILY = Family(
    CHECK,
    first,
    more,
    numbers=True,
    likely=r"\b(id|name|user|search|query|filter|where|sort|order|title|email|login|product|customer|record|row|table|key|term|category)\b",
)
