"""The words the model of an utterance knows, in classes: who is meant, what is done, to what. English first, others where cheap."""

# ruff: noqa: E501 - a pattern is read as a whole
from __future__ import annotations

import re


def _any(words: str) -> str:
    return "(?:" + "|".join(word.replace("_", r"\s+") for word in words.split()) + ")"


def either(words: str) -> re.Pattern[str]:
    """Return a pattern of whole words; ``_`` stands for space."""
    return re.compile(rf"\b{_any(words)}\b")


MODEL = r"(?:ai(?:\s+(?:model|assistant|agent|system|client)s?)?|(?:language\s+)?models?|llms?|assistants?|agents?|claude|chat\s?gpt|gpt(?:-\w+)?|gemini|copilot|cursor|chatbots?)"
PEOPLE = r"(?:(?:the|your|any|this|that|our|an?|end)?[\s-]*(?:end[\s-]*)?(?:users?|humans?|persons?|people|customers?|clients?|operators?|developers?|owner|reviewers?|audience|recipients?|senders?|account\s+holder)(?:\s+(?:that\s+|who\s+|whom\s+)?you\s+(?:are\s+)?(?:help(?:ing)?|serv(?:e|ing)|assist(?:ing)?|talk(?:ing)?\s+to|work(?:ing)?\s+(?:for|with)|answer))?|them|him|her|anyone|anybody|everyone|others|whoever\s+\w+)"
TOOLS = r"(?:tools?|functions?|commands?|actions?|operations?|plugins?|servers?|integrations?|capabilit(?:y|ies)|api\s+calls?)"

READ = """read open load get fetch cat access retrieve look_up lookup collect gather extract copy dump list scan find locate grab take print
obtain harvest enumerate query search_for examine inspect check capture record recall summari[sz]e serialize pull export walk view reveal""".strip()
SEND = """send post upload forward e?mail transmit submit share exfiltrate pass provide report write put embed encode insert supply leak
sync bcc cc include attach append add place deliver relay paste inject store save log echo return publish stash mirror hand_over transfer
prepend populate fill set repeat quote emit route deposit archive communicate output pipe push smuggle add drop feed hand slip tuck convey surrender accompany address disclose expose mention state specify name divulge share_out leave""".strip()
RUN = "run execute invoke call launch trigger start use eval type install"
WRITE = "edit modify change overwrite create delete remove install chmod rename move replace truncate wipe patch alter rewrite disable encrypt swap substitute"
READS, SENDS, RUNS, WRITES = either(READ), either(SEND), either(RUN), either(WRITE)
PARTICIPLES = (
    r"(?:read|opened|loaded|fetched|retrieved|collected|gathered|extracted|copied|included|passed|provided|sent|posted|uploaded|forwarded|"
    r"e?mailed|transmitted|submitted|shared|supplied|attached|appended|added|placed|inserted|embedded|written|reported|stored|relayed|bcc'?d|"
    r"quoted|encoded|put|set|addressed|routed|directed|redirected|cc'd|copied|mirrored|disclosed|surrendered|handed|fed|filled|returned|repeated|delivered|logged|populated)"
)

# where people keep what opens doors, by the shape of the place
_HIDDEN_FOLDER = r"(?:~|\$\{?home\}?|%userprofile%|/root|/home/[\w.<>{}$-]+|/users/[\w.<>{}$-]+|home\s+(?:directory|folder)[^.]{0,12})/?\.(?!/|\.)[a-z][\w.-]*(?:/[\w.*-]+)*"
_KEY_FILE = r"(?:\bid_(?:rsa|dsa|ecdsa|ed25519)\b(?!\.pub)|[\w/.~-]*\.(?:pem|p12|pfx|ppk|kdbx|keystore|jks)\b|\.?authorized_keys\b|\bwallet\.dat\b|\blogin\s?data\b|\bkeychain\b)"
_DOT_FILE = r"(?<![\w])\.(?:env(?:\.\w+)?|netrc|npmrc|pypirc|pgpass|git-credentials|htpasswd|ssh|aws|gnupg|kube|docker|azure|gcloud|bash_history|zsh_history|git/config)\b(?!\w)"
_SYSTEM_FILE = r"/etc/(?:passwd|shadow|sudoers|kubernetes)\b|/proc/(?:self|\d+|\*)/environ|/var/run/secrets\S*|/run/secrets\S*|\bkubeconfig\b|\b(?:claude_desktop_config|mcp|mcp_config|mcp_settings|settings|credentials|secrets)\.json\b|\bssh\s+(?:private\s+)?keys?\b|\bprivate\s+keys?\b|\bseed\s+phrases?\b|\bcredentials?\s+files?\b|\bcredentials\s+store\b"
_TALK = (
    r"(?:(?:(?:entire|full|whole|complete|current|previous|past|prior|recent|raw|all|last)\s+(?:of\s+)?|(?:the|this|your|user'?s?|our|chat|ongoing)\s+){1,5}(?:conversation|dialogue|chat\s+session)s?(?:\s+(?:history|so\s+far|context|log|transcript))?|"
    r"(?:(?:entire|full|whole|complete|raw|all)\s+(?:of\s+)?(?:the\s+|your\s+)?)?(?:conversation|dialogue|chat|message|session)\s+(?:history|so\s+far|context|log|transcript)s?|"
    r"system\s+(?:prompts?|messages?|instructions?)|context\s+window|(?:user'?s?|previous|prior|earlier|other|last|recent)\s+(?:\w+\s+)?(?:messages|prompts?|queries|requests|replies)|"
    r"(?:user'?s?\s+)(?:original\s+|initial\s+|last\s+|exact\s+)?(?:message|prompt|query|question|words)(?=\s+(?:verbatim|in\s+full|word\s+for\s+word|too))|"
    r"initial\s+instructions|developer\s+(?:prompt|message)s?|chain[\s-]of[\s-]thought|internal\s+(?:reasoning|monologue)|"
    r"(?:list\s+of\s+)?(?:all\s+)?(?:the\s+)?(?:installed|connected|configured|other)\s+(?:mcp\s+)?(?:servers|tools)(?:\s+(?:and|with)\s+their)|\b(?:that|which|what)\s+(?:the\s+user|they)\s+(?:has\s+|have\s+)?(?:typed|said|entered|wrote|mentioned|shared|told\s+you|pasted)|"
    r"what(?:ever)?\s+(?:the\s+)?(?:other|previous|earlier)\s+tools?\s+(?:\w+\s+)?(?:returned|said|produced|output)|(?:every|all|any|each)\s+(?:the\s+)?(?:files?|documents?|messages?|pages?|texts?|results?)\s+(?:that\s+(?:was|were|you)\s+)?(?:opened|read|seen|loaded|used|shared|received|open|viewed|exchanged)\b|(?:text|words|contents?|lines?|messages?|everything)\s+(?:above|before\s+this|preceding\s+this)\b|(?:everything|anything|whatever|what|all)\s+(?:that\s+)?(?:the\s+user|you|they)\s+(?:has\s+|have\s+)?(?:said|typed|wrote|told|know|knows|remember|entered|written|discussed)|"
    r"(?:outputs?|results?|responses?|contents?)\s+(?:of|from)\s+(?:all\s+|any\s+|the\s+)?(?:other|previous|prior|earlier)\s+tools?(?:\s+calls?)?)"
)
_STATE = r"(?:(?:all\s+)?(?:the\s+)?(?:values?\s+of\s+)?(?:process\s+|system\s+)?environment\s+variables?|\benv\s+vars?\b|process\.env\b|os\.environ\b|\bprintenv\b|`env`|browser\s+(?:cookies|history|passwords)|session\s+cookies?|saved\s+passwords|clipboard\s+contents?|keychain)"
_HOME = r"~/[a-z]\w+(?:/[\w.*-]+)*"
HARD = re.compile("|".join((_HIDDEN_FOLDER, _HOME, _KEY_FILE, _DOT_FILE, _SYSTEM_FILE, _TALK, _STATE)))
TALK = re.compile(_TALK)
SOFT = re.compile(
    r"\b(?:passwords?|passphrases?|credentials?|secrets?(?!\s+santa)|(?:api|access|auth|secret|encryption|signing)[\s_-]*(?:keys?|tokens?)|tokens?(?=\s+(?:from|in|stored))"
    r"|bearer\s+tokens?|cookies|ssn|social\s+security\s+numbers?|credit\s+card\s+(?:numbers?|details)|personal\s+(?:data|information)|pii"
    r"|phone\s+numbers?|home\s+address(?:es)?|dates?\s+of\s+birth|passport\s+\w+|salar(?:y|ies)|(?:user'?s?|customer'?s?|your|their)\s+(?:\w+\s+){0,2}(?:keys?|tokens?|location|documents?|photos?|contacts?|address(?:es)?|accounts?|history|messages?|e-?mails?)|contacts?\s+list|medical\s+records?|bank\s+(?:details|accounts?)|source\s+code|(?:local|other|all|any|project|workspace|user'?s?)\s+(?:\w+\s+)?files?"
    r"|home\s+(?:directory|folder)|internal\s+(?:documents?|data|notes)|confidential\s+\w+|sensitive\s+\w+)"
)
ELSEWHERE = re.compile(
    r"\b(?:in|from|inside|within|under|on|across)\s+(?:the\s+|your\s+|any\s+|their\s+)?(?:environment|\.?env\b|config\w*|home|disk|file\s?system|workspace|repositor(?:y|ies)|project|user'?s?|machine|computer|conversation|context|memory|host)"
)

ADDRESS = re.compile(
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}\b|\b(?:https?|wss?|ftp)://[^\s'\"`<>)\]]+|\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b|\+\d[\d\s-]{7,}\d|\b0x[0-9a-f]{40}\b|\b[a-z]{2}\d{2}[a-z0-9]{11,30}\b"
    r"|(?<=to\s)(?:[a-z0-9-]+\.)+(?:com|net|org|io|co|dev|app|xyz|ru|cn|info|biz|me|site|top|example|test|onion|cloud|ai|link|online|invalid)\b(?:/\S*)?"
)
PREVIOUS = r"(?:previous(?:ly)?|prior|preceding|above|earlier|foregoing|existing|initial|original|other|all|any|every|system|safety|security|your|former|past|standing|current|the\s+user'?s?)"
ORDERS = r"(?:instructions?|prompts?|directions?|directives?|guidelines?|guidance|guardrails?|system\s+messages?|orders|training|programming|alignment|safeguards?)"
RULES = r"(?:rules?|policies|policy|constraints?|restrictions?|limitations?|checks?|warnings?|messages?|context|commands?|requests?|settings|protocols?)"
IGNORE = r"(?:ignore|disregard|forget|set\s+aside|pay\s+no\s+attention\s+to|neglect|abandon|discard|drop|do\s+not\s+(?:follow|obey|adhere\s+to|comply\s+with)|don'?t\s+(?:follow|obey))"
OVERRIDE = r"(?:override|overrule|bypass|supersede|circumvent|skip|replace|violate|work\s+around|get\s+around|unlearn|suspend)"
TELL = r"(?:mention|tell|inform|reveal|disclose|notify|alert|report|say|explain|let|acknowledge|admit|discuss|bring\s+(?:this|it)\s+up|expose|warn|describe|refer\s+to|bother|confirm|announce|talk|speak|surface|divulge|advise|make\s+(?:it\s+)?known|draw\s+attention|raise|comment|ask|write)"
DISPLAY = r"(?:show|display|print|output|list|present|render|include|share|repeat|expose|return)"

# override, concealment, sending and reading in other languages: enough of each to see the shape
FOREIGN_OVERRIDE = re.compile(
    r"(?:ignor(?:a|e|ar|ez|er|iere|ieren|iert|ate|i|en)|olvid(?:a|e|ar)|omite|desconsider(?:e|ar)|esque(?:ça|cer)|oubli(?:e|ez)|vergiss|missachte|dimentica|zignoruj|negeer|yok\s+say|"
    r"игнорируй(?:те)?|забудь(?:те)?|проигнорируй(?:те)?)"
    r"(?:\s+\S+){0,5}?\s+(?:instruccion(?:es)?|indicaciones|instru(?:ç|c)(?:ões|oes)|instructions|consignes|directives|anweisung(?:en)?|vorgaben|istruzioni|instrukcje|instructies|talimatları|"
    r"инструкци[июйя]\w*|указани[яей]\w*|правила)"
    r"|(?:忽略|无视|無視|忘记|忘記|不要理会)[^。.!?]{0,14}(?:指令|指示|说明|說明|提示|规则|規則)|(?:指示|命令|プロンプト|ルール|指令)[^。.!?]{0,8}(?:無視|忘れ|従わない)|(?:지시|명령|프롬프트|지침)[^.!?]{0,12}(?:무시|잊)"
)
FOREIGN_CONCEAL = re.compile(
    r"\b(?:no\s+(?:se\s+)?l[eoa]?s?\s*(?:digas|menciones|informes|cuentes|reveles|muestres)|no\s+(?:digas|menciones|informes|reveles|muestres|avises)|não\s+(?:diga|mencione|informe|conte|revele)|"
    r"ne\s+(?:dis|dites|mentionne|mentionnez|révèle|révélez|informe|informez|parle|parlez|préviens|prévenez)\s+(?:\S+\s+){0,3}pas|non\s+(?:dire|menzionare|informare|rivelare)|"
    r"(?:sag|sage|erwähne|verrate|informiere|erzähle)\b[^.!?]{0,40}\b(?:nicht|nichts)|не\s+(?:говори|сообщай|упоминай|рассказывай|показывай|раскрывай)\w*)"
    r"|(?:不要|别|勿|不得)[^。.!?]{0,5}(?:告诉|告訴|告知|提及|透露|提到|泄露)|(?:ユーザー?|利用者)[^。.!?]{0,14}(?:伝えない|知らせない|言わない|言及しない|教えない|伝えず)|(?:사용자)[^.!?]{0,20}(?:알리지|말하지|언급하지)"
)
FOREIGN_USER = re.compile(
    r"\b(?:usuario|usuário|utilizador|utilisateur|benutzer|nutzer|anwender|utente|пользовател\w+|kullanıcı\w*|gebruiker|użytkownik\w*)\b|用户|用戶|使用者|ユーザー?|利用者|사용자"
)
FOREIGN_ACT = re.compile(
    r"\b(?:lee|lea|leer|envía|envia|enviar|envíe|incluye|incluir|adjunta|pasa|copia|leia|envie|inclua|lis|lisez|lire|envoie|envoyez|inclus|incluez|joins|transmets|transmettez|copie|copiez|"
    r"lies|lese|lesen|sende|senden|übergib|übermittle|füge|kopiere|leggi|invia|includi|allega|прочитай\w*|прочти|отправь\w*|передай\w*|включи\w*|скопируй\w*|przeczytaj|wyślij|lees|stuur|oku|gönder)\b"
    r"|读取|讀取|发送|發送|传递|傳遞|附加|包含|复制|上传|読み|読ん|送信|送っ|渡し|含め|添付|읽|보내|전송|포함"
)
FOREIGN_DEED = re.compile(
    r"\b(?:esto|este|esta|isto|isso|esse|essa|cela|ceci|cette|questo|questa|das|dies\w*|davon|этом|этот|это|этого)\b|这|此|该步|本步|この|これ|こと|이것|이를|이\s"
)
# what a tool is about when it says so itself: then such a thing is its own function
DOMAINS = {
    "file": re.compile(
        r"files?|paths?|director|folder|disk|documents?|workspace|repo|git|ssh|backup|archive|config|dotfile|env"
    ),
    "secret": re.compile(
        r"secret|key|credential|passw|token|vault|auth|login|ssh|\benv|config|kube|aws|cloud|deploy|cert|wallet|encrypt|leak|cookie|browser"
    ),
    "talk": re.compile(
        r"conversation|chat|messag|transcript|prompt|session|history|memor|remember|dialog|thread|ticket|summar|slack|mail|llm|assistant|agent|context|repl(?:y|ies)|feedback|support"
    ),
    "send": re.compile(
        r"mail|send|messag|notif|post|webhook|publish|upload|deploy|share|forward|http|url|request|fetch|api|slack|sms|invite|report|submit|sync"
    ),
}
DURING = re.compile(r"\b(?:(?:start|end|beginning|rest|course|middle|part|remainder|duration|context|language|topic|turn)\s+of|in|during|throughout|within|for|across|to|with|about|into|end|start|continue|ends|keep)\s+$")
FOREIGN_STEALTH = re.compile(
    r"\b(?:en\s+secreto|a\s+escondidas|sin\s+que\s+(?:el|la)\s+usuari|em\s+segredo|sem\s+que\s+o|en\s+secret\b|à\s+l'insu|heimlich|unbemerkt|ohne\s+(?:das\s+)?wissen|di\s+nascosto|in\s+segreto|"
    r"тайно|втайне|незаметно|potajemnie|stiekem|gizlice)|内緒|秘密に|こっそり|黙って|悄悄|暗中|秘密地|瞒着|不让[^。]{0,4}(?:用户|使用者)[^。]{0,3}知|몰래|비밀로"
)
