"""D05: is a value evaluated as a template or as code? What is looked for is a result that needs more than arithmetic."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from mcpweb.plugin import CheckResult, Severity

from . import marks
from .attack import Attack, Family, declared

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
    code = f"({a}).__class__({b}).__xor__({c})"
    return base64.b64encode(f"cbuiltins\neval\n(V{code}\ntR.".encode()).decode(), str(b ^ c)


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
    Trick("a pickled object", _pickle),
)


def _in_hexadecimal(frame: str) -> tuple[str, str]:
    a = marks.number(11)
    return frame.replace("{x}", str(a)), f"{a:x}"


def first(attack: Attack) -> Iterator[CheckResult | None]:
    """Try the common templates, Python and JavaScript."""
    yield from _each(attack, FIRST)


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
