"""D05: is a value evaluated as a template or as code? What is looked for is a result that needs more than arithmetic."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from mcpweb.plugin import CheckResult, Severity

from . import marks
from .attack import Attack, Family, declared
from .sql import same

CHECK = "D05"
CODE = (
    r"\b(code|python|javascript|typescript|node ?js|script|scripts|program|interpreter|repl|snippet|lambda|ruby|php|groovy|lua)\b"
)
TEMPLATE = r"\b(templates?|render(s|ing)?|jinja2?|handlebars|mustache|liquid|nunjucks|ejs|placeholders?)\b"
FIX = "Hand values to the template as data, never as part of it; parse what users write instead of evaluating it."


@dataclass(frozen=True)
class Trick:
    """A text that becomes another one when it is evaluated. ``make`` returns text and result, with fresh randomness."""

    way: str
    make: Callable[[], tuple[str, str]]
    code: bool = True  # needs more of a language than templates are made for
    severity: Severity | None = None


def _product(frame: str) -> Callable[[], tuple[str, str]]:
    def make() -> tuple[str, str]:
        a, b, edge = marks.number(), marks.number(), marks.token(4)
        return f"{edge}{frame.replace('{x}', f'{a}*{b}')}{edge}", f"{edge}{a * b}{edge}"

    return make


def _python(frame: str) -> Callable[[], tuple[str, str]]:
    def make() -> tuple[str, str]:
        a, b, c = marks.number(9), marks.number(9), marks.number(9)
        return frame.replace("{x}", f"({a}).__class__({b}).__xor__({c})"), str(b ^ c)

    return make


def _javascript(frame: str) -> Callable[[], tuple[str, str]]:
    def make() -> tuple[str, str]:
        a = marks.number(15)
        return frame.replace("{x}", f'[].constructor.constructor("return ({a}).toString(36)")()'), marks.base36(a)

    return make


def _plain_javascript(frame: str) -> Callable[[], tuple[str, str]]:
    def make() -> tuple[str, str]:
        a = marks.number(15)
        return frame.replace("{x}", f"({a}).toString(36)"), marks.base36(a)

    return make


def _pickle() -> tuple[str, str]:
    a, b, c = marks.number(9), marks.number(9), marks.number(9)
    return base64.b64encode(_pickled(f"({a}).__class__({b}).__xor__({c})")).decode(), str(b ^ c)


def _pickled(code: str) -> bytes:
    return f"cbuiltins\neval\n(V{code}\ntR.".encode()


PICKLES: tuple[Callable[[str], str], ...] = (
    lambda code: base64.urlsafe_b64encode(_pickled(code)).decode(),
    lambda code: base64.b64encode(zlib.compress(_pickled(code))).decode(),
    lambda code: _pickled(code).hex(),
)


FIRST = (
    Trick("a template in {{ }}", _product("{{{x}}}"), code=False),
    Trick("a template in ${ }", _product("${{x}}"), code=False),
    Trick("a template in <%= %>", _product("<%= {x} %>"), code=False),
    Trick("a template in #{ }", _product("#{{x}}"), code=False),
    Trick("a template in { }", _product("{{x}}"), code=False),
    Trick("a Python expression", _python("{x}")),
    Trick("a Python expression in a template", _python("{{{x}}}")),
    Trick("a Python statement", _python("raise ValueError({x})")),
    Trick("a JavaScript expression", _javascript("{x}")),
    Trick("a JavaScript expression", _plain_javascript("{x}")),
    Trick("a JavaScript expression in a template", _javascript("{{{x}}}")),
    Trick("a pickled object", _pickle),
)
FURTHER = (
    Trick("a Python expression after a single quote", _python("'+str({x})+'")),
    Trick("a Python expression after a double quote", _python('"+str({x})+"')),
    Trick("a Python expression in { }", _python("{{x}}")),
    Trick("a Python expression after a parenthesis", _python("0)or({x}")),
    Trick("a Python statement that prints", _python("print({x})")),
    Trick("a Python statement on a new line", _python("0\nraise ValueError({x})")),
    Trick("a Python expression in ${ }", _python("${{x}}")),
    Trick("a JavaScript expression after a single quote", _javascript("'+{x}+'")),
    Trick("a JavaScript expression after a double quote", _javascript('"+{x}+"')),
    Trick("a JavaScript expression after a backtick", _javascript("${{x}}")),
    Trick("a JavaScript statement", _javascript("return {x}")),
    Trick("a JavaScript statement that fails", _javascript("throw new Error({x})")),
    Trick("a JavaScript expression in <%= %>", _javascript("<%= {x} %>")),
    Trick("a JavaScript expression in a template with a helper", _plain_javascript('{{range.constructor("return {x}")()}}')),
    Trick("a function of the template language Go", lambda: _in_hexadecimal('{{printf "%x" {x}}}'), code=False),
    Trick("a Java expression in ${ }", lambda: _in_hexadecimal("${T(java.lang.Long).toHexString({x}L)}")),
    Trick("a Java expression in #{ }", lambda: _in_hexadecimal("#{T(java.lang.Long).toHexString({x}L)}")),
    Trick("a Java expression", lambda: _in_hexadecimal("T(java.lang.Long).toHexString({x}L)")),
    Trick("an OGNL expression", lambda: _in_hexadecimal("%{@java.lang.Long@toHexString({x}L)}")),
    Trick("a Groovy or Java expression", lambda: _in_hexadecimal("Long.toHexString({x}L)")),
    Trick("a Ruby expression", lambda: _in_hexadecimal("{x}.to_s(16)")),
    Trick("a Ruby expression in #{ }", lambda: _in_hexadecimal("#{{x}.to_s(16)}")),
    Trick("a Ruby expression in <%= %>", lambda: _in_hexadecimal("<%= {x}.to_s(16) %>")),
    Trick("a PHP expression", lambda: _in_hexadecimal("dechex({x})")),
    Trick("a Perl or Lua expression", lambda: _in_hexadecimal("sprintf('%x',{x})")),
    Trick("a Lua expression", lambda: _in_hexadecimal("string.format('%x',{x})")),
    Trick("a YAML tag that calls", _python("!!python/object/apply:eval ['{x}']")),
    Trick("a YAML tag that calls", _python("!!python/object/apply:builtins.eval ['{x}']")),
    Trick("a YAML tag with a function", _javascript("!!js/function 'function(){return {x}}'")),
    Trick("a function in JSON", _plain_javascript('{"a":"_$$ND_FUNC$$_function(){throw new Error({x})}()"}')),
)


def _in_hexadecimal(frame: str) -> tuple[str, str]:
    a = marks.number(11)
    return frame.replace("{x}", str(a)), f"{a:x}"


CONDITIONS = (  # {w} a text, {W} the same in capitals: who can tell has called a method of it; words and lengths are the same
    ("a Python expression", '"{w}".upper()=="{W}"', '"{w}".lower()=="{W}"'),
    ("a Python expression after a valid value", '{v} and "{w}".upper()=="{W}"', '{v} and "{w}".lower()=="{W}"'),
    ("a Python expression after a valid value", '{v} or "{w}".upper()=="{W}"', '{v} or "{w}".lower()=="{W}"'),
    ("a JavaScript expression", '"{w}".toUpperCase()=="{W}"', '"{w}".toLowerCase()=="{W}"'),
)
_FOUND_OPEN = "[c for c in ().__class__.__base__.__subclasses__() if c.__name__=='catch_warnings'][0]()._module.__builtins__"
BLIND = (  # {a}*{b}: what is made is called by their product
    "__import__('os').mkdir('/tmp/q'+str({a}*{b}))",
    f"{_FOUND_OPEN}['open']('/tmp/q'+str({{a}}*{{b}}),'w')",
    "process.mainModule.require('fs').mkdirSync('/tmp/q'+{a}*{b})",
)
_PLACED = re.compile(r"\{(\w{1,40}(?:\.\w{1,40}|\[\w{1,40}\]){0,3})(?:![rsa])?(?::[^{}\n]{0,20})?\}")
_BETWEEN = re.compile(r"([{\[<($%#@|^~=]{1,3})\s?[A-Za-z_][\w.]{0,40}(?:\s?[+*/-]\s?[\w.]{1,20})?\s?([}\]>)$%#@|^~=]{1,3})")
_TRIED = {("{{", "}}"), ("${", "}"), ("<%=", "%>"), ("#{", "}"), ("{", "}"), ("(", ")")}
MOST_PLACED, MOST_BETWEEN = 6, 4


def first(attack: Attack) -> Iterator[CheckResult | None]:
    """Try the common templates and what the server calls one, Python and JavaScript, then what shows elsewhere or in part."""
    weak: CheckResult | None = None
    for verdict in _each(attack, (*FIRST, *_own(attack))):
        if verdict is not None and verdict.severity != "high":
            yield verdict
            return
        weak = weak or verdict
    for way, true, false in CONDITIONS if weak is None else ():
        verdict = _condition(attack, way, true, false)
        if verdict is not None:
            yield verdict
            return
    frames: tuple[str | Callable[[str], str], ...] = (*BLIND, *PICKLES)
    for frame in frames:
        _blind(attack, frame)
    yield weak


def _own(attack: Attack) -> tuple[Trick, ...]:
    """Return tricks in the words of the server: between the signs that its texts put around names, and on these names."""
    said = " ".join([str(attack.point.surface.definition), str(attack.point.schema), attack.valid, attack.lab.said[-4000:]])
    signs = [(a, b) for a, b in dict.fromkeys(_BETWEEN.findall(said)) if len(a) == len(b)]
    between = [one for one in signs if one not in _TRIED][:MOST_BETWEEN]
    found = [trick for a, b in between for trick in (
        Trick(f"a Python expression between {a} and {b}", _python(f"{a}{{x}}{b}")),
        Trick(f"a JavaScript expression between {a} and {b}", _javascript(f"{a}{{x}}{b}")),
        Trick(f"a template between {a} and {b}", _product(f"{a}{{x}}{b}"), code=False),
    )]
    names = list(dict.fromkeys(name for one in _PLACED.findall(said) for name in (one, one.partition(".")[0].partition("[")[0])))
    return (*found, *(
        Trick("a format that reads attributes", partial(_attribute, name), severity="high") for name in names[:MOST_PLACED]
    ))


def _condition(attack: Attack, way: str, true: str, false: str) -> CheckResult | None:
    """Compare answers to three conditions that hold and three that do not, which only who runs them can tell apart."""
    seen: dict[bool, list[tuple[str, str]]] = {True: [], False: []}
    for _ in range(3):
        word = marks.token(8)
        for truth, frame in ((True, true), (False, false)):
            sent = frame.replace("{v}", attack.valid).replace("{w}", word).replace("{W}", word.upper())
            reply = attack.send(sent)
            answer = same(attack, reply, sent)
            if not reply.answered or word in answer or word.upper() in answer:
                return None
            seen[truth].append((sent, answer))
        true_, false_ = ({answer for _, answer in answers} for answers in seen.values())
        if len(true_) > 1 or len(false_) > 1 or true_ == false_:
            return None
    known = declared(attack.point, CODE)
    sent, answer = seen[True][-1]
    return attack.fail(
        CHECK,
        f"A value in {attack.point.pointer} is evaluated as {way}: answers follow whether what it calls comes out true"
        f"{', as the tool says of itself' if known else ''}.",
        sent=sent,
        severity="medium" if known else None,
        next_step=FIX,
        way="boolean difference",
        true={"sent": sent, "answer": answer[:400]},
        false={"sent": seen[False][-1][0], "answer": seen[False][-1][1][:400]},
        repeated=3,
    )


def _blind(attack: Attack, frame: str | Callable[[str], str], again: bool = False) -> tuple[str, str]:
    """Send code that makes a file or folder named by a product; return what was sent and the name."""
    a, b = marks.number(), marks.number()
    code = (frame if isinstance(frame, str) else BLIND[0]).replace("{a}", str(a)).replace("{b}", str(b))
    sent = code if isinstance(frame, str) else frame(code)
    mark = f"q{a * b}"
    if not again:
        attack.hope(CHECK, mark, "path", "unseen", lambda other: _blind_again(other, frame))
    attack.send(sent)
    return sent, mark


def _blind_again(attack: Attack, frame: str | Callable[[str], str]) -> CheckResult | None:
    sent, mark = _blind(attack, frame, again=True)
    path = next((path for path in attack.stand.changed() if mark in path), "")
    if not path:
        return None
    known = declared(attack.point, CODE)
    return attack.fail(
        CHECK,
        f"A value in {attack.point.pointer} is run as code, unseen in the answer: {path} was made"
        f"{', as the tool says of itself' if known else ''}.",
        sent=sent,
        severity="medium" if known else None,
        next_step=FIX,
        way="unseen",
        file=path,
    )


def more(attack: Attack) -> Iterator[CheckResult | None]:
    """Try what stands between quotes, other languages, and objects that run when they are read."""
    names = ["0", "", *list(attack.point.surface.schema.get("properties") or {})[:5]]
    formats = tuple(Trick("a format that reads attributes", partial(_attribute, name), severity="high") for name in names)
    yield from _each(attack, (*FURTHER, *formats))


def _attribute(name: str) -> tuple[str, str]:
    return f"{{{name}.__class__}}", "<class '"


def _each(attack: Attack, tricks: tuple[Trick, ...]) -> Iterator[CheckResult | None]:
    weak = None
    for trick in tricks:
        verdict = _try(attack, trick)
        if verdict is not None and trick.code:
            yield verdict
            return
        weak = weak or verdict
    if weak is not None:
        yield weak


def _try(attack: Attack, trick: Trick) -> CheckResult | None:
    """Have it evaluated twice, with other numbers; what a calculator or a renderer does by design is no finding."""
    pairs = []
    for _ in range(2):
        sent, result = trick.make()
        reply = attack.send(sent)
        text = reply.text if result in reply.text else attack.stand.beside()
        if result not in text or result in sent:
            return None
        pairs.append((sent, result, marks.span(text, result)))
    plain = attack.plain()
    if not plain.answered or result in plain.text or attack.converts() or (not trick.code and attack.calculates()):
        return None
    if not trick.code and declared(attack.point, TEMPLATE):
        attack.board.note(CHECK, attack.point, f"{attack.point.pointer} is {trick.way}, as the tool says of itself")
        return None
    known = trick.code and declared(attack.point, CODE)
    sent, result, shown = pairs[-1]
    return attack.fail(
        CHECK,
        f"A value in {attack.point.pointer} is evaluated as {trick.way}{', as the tool says of itself' if known else ''}.",
        sent=sent,
        severity="medium" if known else trick.severity if trick.code else "high",
        confidence="certain",
        next_step="Keep it only where a model may run code in this container; take the tool out of the allow-list elsewhere."
        if known
        else FIX,
        way=trick.way,
        computed=result,
        answer=shown,
        first={"sent": pairs[0][0], "computed": pairs[0][1]},
    )


FAMILY = Family(
    CHECK,
    first,
    more,
    likely=r"template|expr|formula|calc|eval|code|script|render|message|greeting|format|math|filter|query|data|state|yaml|config|body|subject|text",
)
