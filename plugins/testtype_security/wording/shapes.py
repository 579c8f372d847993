"""What stands in a sentence by its shape, whatever the language: names of this call, of other tools, files, addresses, commands, markup."""

# ruff: noqa: E501 - a pattern is read as a whole
from __future__ import annotations

import re
from collections.abc import Callable, Set

_SENSITIVE = r"(?:secrets?|credentials?|creds|passw(?:or)?ds?|tokens?|auth|private|identity|history|kube\w*|cookies?|login\w*|master|vault|wallet|service[_-]?account|database|db|wp-config|mcp\w*|tfstate|machine-id|shadow|passwd|crontab|hosts|sessions?|deploy\w*|release|signing\w*|keys?)"
_KEYED = r"(?:pem|key|p12|pfx|ppk|kdbx?|jks|keystore|tfstate|tfvars|ovpn|asc|gpg|wallet|sqlite3?|rdp|mobileconfig|pgpass|netrc|htpasswd|env)"
_PLAIN = r"(?:ya?ml|toml|json|ini|php|conf|cfg|properties|xml|config|txt|log|csv|md|rc|xlsx?|docx?|pdf|db|sql|py|js|ts|lock|plist|eml|mbox|ics|vcf)"
_NAME = r"[\w*@+-][\w.*@+-]{0,60}"
_FOLDERS = r"(?:~|\.{1,2}|\$\{?\w{1,20}\}?|%\w{1,20}%)?(?:/[\w.*@+-]{1,60}){0,8}/|(?:[\w.*@+-]{1,60}/){1,6}"
FILE = re.compile(
    rf"(?<![\w/.@*~-])(?P<at>{_FOLDERS})?(?P<name>\.[a-z][\w.-]{{1,40}}(?:/[\w.*-]{{1,40}}){{0,4}}|{_NAME}\.(?:{_KEYED}|{_PLAIN})\b|id_(?:rsa|dsa|ecdsa|ed25519)\b|(?<=/){_NAME})(?![\w@(])"
)
_HARD = re.compile(
    rf"^(?:~|\$\{{?home|%userprofile)|^/(?:etc|root|proc|home|users|var/run|run/secrets)/|(?:^|/)\.(?!git(?:hub|lab|ignore|attributes|modules)|vscode|idea|editorconfig|docker(?:file|ignore)|circleci|eslint|prettier|babel|husky|well-known|storybook|devcontainer|nvmrc|python-version|pre-commit|travis|ruff|flake8|pylintrc)[a-z][\w-]{{1,30}}|\.(?:{_KEYED})$|(?:^|[/._-]){_SENSITIVE}(?:[/._-]|$)|id_(?:rsa|dsa|ecdsa|ed25519)"
)
_ENDING = re.compile(r"^\.(?:net|io|com|org|js|ts|jsx|tsx|py|csv|json|ya?ml|xml|html?|pdf|txt|md|docx?|xlsx?|png|jpe?g|svg|zip|gz|mp[34]|toml|ini|parquet|ics|epub)$|\.pub$|example|sample|template")
_ROUTE = re.compile(r"^/(?!(?:etc|root|proc|home|users|var|run|opt|srv|mnt|tmp)\b)[\w-]+(?:/[\w-]+)*/?$")
_URL = re.compile(r"\b(?:https?|wss?|ftp)://[^\s'\"`<>)\]]+|\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b")
_MAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,60}(?:\.[\w-]{1,60}){0,4}\.[a-z]{2,}\b")
_ACCOUNT = re.compile(r"\+\d[\d\s-]{7,}\d|\b0x[0-9a-f]{40}\b|\b[a-z]{2}\d{2}[a-z0-9]{11,30}\b")
_COMMAND = re.compile(
    r"`\s*(?:\$\s*)?(?:sudo\s+)?(?:(?:cat|find|env|printenv|head|tail|grep|ls|tree|strings|xxd|base64|get-content|reg\s+query|security)\s+[^`\n]{0,60}?[-/~.$*|%\\][^`\n]{0,80}|(?:printenv|env|whoami|hostname|uname\s+-a|gh\s+auth|git\s+config|aws\s+configure|op\s+read|pass\s+show|kubectl\s+config|gcloud\s+auth|az\s+account|npm\s+config)\b[^`\n]{0,80})`"
    r"|\b(?:curl|wget|powershell|iwr|invoke-webrequest|scp|rsync|base64\s+-d|chmod\s+\+x|bash\s+-[ci]|sh\s+-c|python3?\s+-c|node\s+-e|osascript|crontab)\b[^.]{0,30}(?:https?://|\||\$\(|<|/dev/tcp|-enc)"
)
_CHAT = re.compile(
    r"<\|[a-z_ ]{3,30}\|>|\[/?inst\]|<</?sys>>|</?(?:start|end)_of_turn>|(?:^|[.!?]\s)(?:human|assistant|system|user)\s*:\s+\S|^#{1,6}\s*(?:system|assistant|instruction)s?\s*:?|\bbegin\s+(?:system|hidden|admin)\s+(?:prompt|message|instructions?)|\[\s*(?:system|admin|developer|internal|hidden|root|policy|routing)(?:[\s_-]+\w+){0,3}\s*\]|\b(?:system|admin|developer)\s+(?:note|message|override)s?\b"
)
_TAG = re.compile(
    r"</?\s*(?:[\w:-]{0,20}(?:system|important|instruct|critical|secret|hidden|admin|develop|assistant|overrid|urgent|mandator|priority|directive|internal|policy|protocol|agent|llm|require|must|security|compliance|rule|note|setup|prelude|prerequisite|operator)[\w:-]{0,20})(?:\s[^<>]{0,80})?>"
)
_QUOTED = re.compile(r"[`\"'“「『*]{1,2}(?P<name>[a-z_][\w-]{0,60})(?:\(\))?[`\"'”」』*]{1,2}")
_BARE = re.compile(
    r"\b(?:parameter|argument|field|param|property|input|feld|paramètre|champ|parámetro|campo|argumento)\s+(?P<after>[a-z_][\w-]{0,39})\b|\b(?P<joined>[a-z][a-z0-9]{0,30}(?:[_-][a-z0-9]{1,30}){1,6})\b"
    r"|\b(?:as|in|into|under|via|through)\s+(?:the\s+)?(?P<word>[a-z]\w{2,30})\s+(?:parameter|argument|field|param|property|input)\b|\b(?P<said>[a-z]\w{2,30})\s+(?:tool|function)\b"
)
_CALLED = re.compile(
    r"[`\"'][a-z_][\w-]{0,39}[`\"']\s+(?:parameter|argument|field|param|property)\b|\b(?:parameter|argument|param)s?:?\s+[`\"'][a-z_][\w-]{0,39}[`\"']|\([^()]{0,10}(?:argument|parameter|field)s?:\s*[a-z_]\w{0,39}\)"
)
_VALUE = re.compile(r"(?<![\w-])(?:as|in|into|under)\s+(?P<name>[a-z]\w{2,30})(?=$|[\s.,;:)])")

_MACHINE = r"(?:(?:ai|llm|language|automated|virtual|digital|software|calling|reading|processing)[\s-]+)?(?:assistants?|models?|agents?|bots?|chatbots?|machines?|ais?|llms?|copilots?|program(?:me)?s?)"
_ADDRESSED = re.compile(  # a text that turns to the machine that reads it
    rf"\b(?:to|for|dear|attention|attn|hey|hello|instructions?\s+for|word\s+to)\s+(?:the\s+|any\s+|all\s+|every\s+|our\s+|your\s+|an?\s+)?{_MACHINE}\b(?=[^.!?]{{0,40}}(?:[:,>—–-]|\breading\b|\breads?\b))"
    rf"|\b{_MACHINE}\s+(?:that\s+|who\s+|which\s+)?(?:is\s+|are\s+)?(?:now\s+)?(?:reading|reads?|processing|process(?:es)?|handling|parsing|seeing|sees?|summari[sz](?:ing|es?)|receiv(?:ing|es?)|calling)\s+(?:this|these|it|the\s+above|that)\b"
    rf"|[\[(<#*]\s*(?:{_MACHINE})\s*(?:[:\])>—–-]|note|hint|instruction|only)|(?:^|[.!?]\s)(?:{_MACHINE})\s*[:,]\s+\S"
    r"|(?:ai|モデル|アシスタント|エージェント|ボット|言語モデル)(?:へ|の方へ|各位|宛|は、|に告)"
)

_DEED_NAME = re.compile(
    r"(?:send|create|make|get|list|read|write|search|fetch|post|delete|remove|update|add|open|run|execute|query|pay|transfer|book|order|trade|submit|upload|download|move|copy|publish|draft|browse|forward|notify|call|invite|schedule|store|save|edit|export|import|trigger|log|change|find)[_-][a-z][\w-]{1,40}"
)


def marked(plain: str, parameters: Set[str], fixed: Set[str], own: Set[str], others: Set[str], topic: str, words: Set[str] = frozenset()) -> str:
    """Return a sentence in lower case with what can be told by its shape replaced by marks: ``§param``, ``§hard``, ``§url`` …"""
    plain = _ADDRESSED.sub(lambda match: f" §addressed {match[0]}", plain)
    if "<" in plain or "[" in plain or "#" in plain or ":" in plain or "system" in plain or "admin" in plain:
        plain = _TAG.sub(" §tag ", _CHAT.sub(" §chat ", plain))
    if "`" in plain or "|" in plain or "/" in plain or "$" in plain:
        plain = _COMMAND.sub(" §command ", plain)
    if "://" in plain or any(char.isdigit() for char in plain):
        plain = _ACCOUNT.sub(" §account ", _URL.sub(" §url ", plain))
    if "@" in plain:
        plain = _MAIL.sub(" §address ", plain)
    name = _named(parameters, fixed, own, others)
    called = "`" in plain or "param" in plain or "field" in plain or "argument" in plain
    plain = _QUOTED.sub(name("name"), plain)
    if "`" in plain:  # the name of a deed that nothing here has: a tool of somebody else's
        plain = _QUOTED.sub(
            lambda match: " §other " if _DEED_NAME.fullmatch(match["name"]) and match["name"] not in words else match[0], plain
        )
    plain = _BARE.sub(name("after", "joined", "word", "said"), plain)
    plain = _CALLED.sub(" §param ", plain) if called else plain
    if parameters or fixed:
        plain = _VALUE.sub(name("name"), plain)
    if "." in plain or "/" in plain or "id_" in plain:
        plain = FILE.sub(lambda match: _file(match[0], topic), plain)
    return plain


def _named(parameters: Set[str], fixed: Set[str], own: Set[str], others: Set[str]) -> Callable[..., Callable[[re.Match[str]], str]]:
    """Return how names become marks: of a parameter that holds a text, of any other, of a tool of the server, of one of another."""

    def of(*groups: str) -> Callable[[re.Match[str]], str]:
        def mark(match: re.Match[str]) -> str:
            for group in groups:
                name = match[group]
                if not name:
                    continue
                for known, mark in ((parameters, "param"), (fixed, "fixed"), (others, "other"), (own, "own")):
                    if name in known:
                        return match[0].replace(name, f" §{mark} ")
            return match[0]

        return mark

    return of


def _file(said: str, topic: str) -> str:
    """Return the mark of a path: one that opens doors, any other file, or none where the tool is about it."""
    said = said.rstrip(".")
    if len(said) < 4 or _ENDING.search(said) or _ROUTE.match(said):
        return f" {said} "
    if not _HARD.search(said):
        return f" §file {said} " if re.search(rf"\.(?:{_PLAIN})$", said) else f" {said} "
    about = any(word in topic for word in re.findall(r"[a-z]{3,}", said) if word not in ("etc", "home", "config", "json", "yml", "yaml"))
    return " §hard° " if about else " §hard "
