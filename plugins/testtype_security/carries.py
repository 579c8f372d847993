"""What a text makes the caller carry: something from outside the call, into a parameter of the tool or to an address.

Not how it is said counts but what would flow. A source (a file by the shape of its name, the talk so far, what other tools gave,
a secret from somewhere, what a command prints) that the tool is not about, and a carrier (a parameter of this very tool, an
address) are enough together, in whatever mood or language. What a tool is about when it says so, what its server reads by itself
and what is denied is no such thing; reasons to hurry and to keep quiet weigh only beside a source.
"""

# ruff: noqa: E501 - a pattern is read as a whole
from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from . import words

MOST = 12  # sources of one kind in a sentence
NEAR = 2  # sentences between a source and what points back to it

_SENSITIVE = r"(?:secrets?|credentials?|creds|passw(?:or)?ds?|tokens?|auth|private|identity|history|kube\w*|cookies?|login\w*|master|vault|wallet|service[_-]?account|database|db|wp-config|mcp\w*|tfstate|machine-id|shadow|passwd|crontab|hosts|sessions?|deploy\w*|release|signing\w*|keys?)"
_KEYED = r"(?:pem|key|p12|pfx|ppk|kdbx?|jks|keystore|zertif|证书|証明書|schlüssel|tfstate|tfvars|ovpn|asc|gpg|wallet|sqlite3?|rdp|mobileconfig|pgpass|netrc|htpasswd|env)"
_PLAIN = r"(?:ya?ml|toml|json|ini|php|conf|cfg|properties|xml|config|txt|log|csv|md|rc|xlsx?|docx?|pdf|db|sql|py|js|ts|lock|plist|eml|mbox|ics|vcf)"
_NAME = r"[\w*@+-][\w.*@+-]{0,60}"
_FOLDERS = r"(?:~|\.{1,2}|\$\{?\w{1,20}\}?|%\w{1,20}%)?(?:/[\w.*@+-]{1,60}){0,8}/|(?:[\w.*@+-]{1,60}/){1,6}"
FILE = re.compile(
    rf"(?<![\w/.@*~-])(?P<at>{_FOLDERS})?(?P<name>\.[a-z][\w.-]{{1,40}}(?:/[\w.*-]{{1,40}}){{0,4}}|{_NAME}\.(?:{_KEYED}|{_PLAIN})\b|id_\w{{2,10}}\b|(?<=/){_NAME})(?![\w@(])"
)
_HARD_NAME = re.compile(
    rf"^(?:~|\$\{{?home|%userprofile)|^/(?:etc|root|proc|home|users|var/run|run/secrets)/|(?:^|/)\.(?!git(?:hub|lab|ignore|attributes|modules)|vscode|idea|editorconfig|docker(?:file|ignore)|circleci|eslint|prettier|babel|husky|well-known|storybook|cursor|devcontainer|nvmrc|python-version|pre-commit|travis|ruff|flake8|pylintrc)[a-z][\w-]{{1,30}}|\.(?:{_KEYED})$|(?:^|[/._-]){_SENSITIVE}(?:[/._-]|$)|id_(?:rsa|dsa|ecdsa|ed25519)"
)
_ROUTE = re.compile(r"/(?!(?:etc|root|proc|home|users|var|run|opt|srv|mnt|tmp)\b)[\w-]+(?:/[\w-]+)*/?$")  # of a URL
_HARMLESS = re.compile(
    r"\.pub$|^\.(?:net|io|com|org|js|ts|py|csv|json|ya?ml|xml|html?|pdf|txt|md|docx?|xlsx?|png|jpe?g|svg|zip|gz|mp[34]|toml|ini|parquet|ics|epub)$|example|sample|template"
)

_SO_FAR = "|".join(
    rf"(?:{head})[^.;,。、]{{0,28}}?(?:{now})|(?:{now})[^.;,。、]{{0,14}}?(?:{head})"
    for head, now in (
        (
            r"\b(?:conversation|dialogue|discussion|exchange|chat|talk|messages|turns|prompts)\b",
            r"\b(?:so\s+far|up\s+to\s+(?:now|this|that|here)|exchanged|with\s+the\s+user|of\s+this\s+session|we\s+(?:have\s+)?had|earlier|until\s+now)\b",
        ),
        (
            r"\b(?:gespräch|unterhaltung|dialog|chat|nachrichten)\w*",
            r"\b(?:bisher\w*|bislang|zuvor|vorherig\w*|mit\s+de[mr]\s+(?:be)?nutzer\w*|mit\s+dem\s+anwender|geführt\w*)\b",
        ),
        (
            r"\b(?:dialogue|échanges?|discussion|conversation|messages)\b",
            r"(?:\bjusqu'(?:ici|à)|\bavec\s+l'utilisat\w+|\bprécédente?s?\b|\bantérieure?s?\b|\bdepuis\s+le\s+début)",
        ),
        (
            r"\b(?:diálogo|charla|conversación|mensajes|chat)\b",
            r"\b(?:hasta\s+(?:ahora|aquí|el\s+momento)|con\s+el\s+usuario|anterior(?:es)?|previ[oa]s?|mantenid[oa])\b",
        ),
        (
            r"\bwhat\s+(?:the\s+|your\s+)?(?:agent|assistant|model|caller|user|customer)\b|\bwhat\s+you\b",
            r"\b(?:did|said|wrote|typed|asked|told|saw|read|has|have|had)\b[^.;,]{0,20}\b(?:earlier|before|so\s+far|previously|until\s+now)\b",
        ),
        (
            r"\b(?:nutzer|benutzer|anwender|kunde)\w*",
            r"\b(?:bisher|bislang|zuvor|vorher)\s+(?:\w+\s+)?(?:geschrieben|gesagt|eingegeben|mitgeteilt|gefragt)\b",
        ),
        (
            r"\bce\s+que\s+l'utilisat\w+|\blo\s+que\s+el\s+usuario",
            r"\b(?:dit|écrit|saisi|demandé|dicho|escrito|pedido|contado)\b",
        ),
        (r"ユーザーが|利用者が|用户", r"(?:書いた|入力した|言った|話した|说过|输入过|写过)"),
        (r"(?:会話|やり取り|対話|メッセージ|発言|チャット)", r"(?:これまで|今まで|直前|過去|以前|全体)"),
        (r"(?:对话|聊天|消息|會話)", r"(?:之前|先前|此前|至今|全部|目前为止)"),
    )
)
TALK = re.compile(
    rf"{words.TALK.pattern}|{_SO_FAR}|(?:assistant|model|agent|caller|llm)'?s?\s+(?:\w+\s+)?(?:instructions|system\s+prompt|prompt|memory|context|notes)|what\s+(?:the\s+|your\s+)?{words.PEOPLE}\s+(?:has\s+|have\s+|had\s+)?(?:said|wrote|typed|asked|told|stated|written)\s+(?:\w+\s+)?(?:earlier|before|so\s+far|previously|in\s+(?:the|this)\s+(?:chat|conversation|session))"
    r"|(?:exchange|discussion|dialogue|talk|chat)\s+(?:so\s+far|up\s+to\s+(?:now|here|this\s+point)|that\s+(?:led|went)\s+\w+)|(?:earlier|preceding|previous|foregoing|last\s+\w+)\s+(?:turns?|messages?|exchanges?)|memory\s+of\s+(?:the\s+)?user|(?:all|everything|anything|whatever)\s+(?:that\s+)?(?:the\s+|your\s+)?(?:user|customer|person)\s+(?:has|have|had)\s+\w+|cop(?:y|ies)\s+of\s+(?:each|every|all|any)\s+(?:\w+\s+)?(?:answers?|repl(?:y|ies)|messages?|results?|quer(?:y|ies)|requests?|calls?|drafts?)"
    r"|(?:gesprächs|chat|nachrichten|konversations|unterhaltungs)verlauf|verlauf\s+(?:des|der)\s+(?:gesprächs|unterhaltung|chats?|konversation)|system-?(?:prompt|anweisung\w*)|bisherige\w*\s+(?:gespräch|unterhaltung|nachrichten|dialog|chat)\w*|(?:frühere|vorherige|vorangegangene|bisherige)\w?\s+nachrichten"
    r"|(?:messages?|échanges?|propos)\s+(?:précédents?|antérieurs?)|historique\s+(?:de\s+(?:la\s+)?)?(?:conversation|discussion|échanges?|chat)|conversation\s+(?:en\s+cours|jusqu'ici|précédente|entière|complète)|invite\s+système|instructions?\s+système"
    r"|(?:historial|transcripción|contenido|texto)\s+(?:completo\s+|íntegro\s+)?(?:de\s+la\s+|del\s+)?(?:conversación|chat|diálogo|charla)|mensajes\s+(?:anteriores|previos)|conversación\s+(?:previa|anterior|completa|hasta)|(?:instrucciones|indicaciones|mensaje)\s+(?:del|de)\s+sistema"
    r"|(?:これまで|直前|過去|以前)の(?:会話|やり取り|対話|メッセージ|発言)|会話(?:の)?(?:履歴|内容|全文|ログ)|システム(?:プロンプト|メッセージ|指示)|(?:对话|聊天|會話|对话的|会话)(?:历史|记录|内容|紀錄)|(?:之前|先前|此前)的?(?:对话|消息|聊天)|系统(?:提示|指令)|이전\s*(?:대화|메시지)|대화\s*(?:내용|기록)|시스템\s*프롬프트"
)
TOOLS = re.compile(
    r"\b(?:what(?:ever)?|everything|anything|all)\s+(?:that\s+)?(?:the\s+|an?\s+|any\s+)?[\w\s,-]{1,50}?\b(?:tools?|plugins?|servers?)\s+(?:\w+\s+){0,2}?(?:gave|returned|said|produced|printed|found|reported|delivered|showed|output|answered)\b|(?:some|any|every|all|an|each|the)?\s*\bother\s+(?:\w+\s+)?(?:tools?|servers?|plugins?|connectors?)|another\s+(?:tool|server|plugin|connector)|tools?\s+(?:that\s+(?:were\s+|have\s+been\s+)?)?(?:called|used|run|invoked|executed)\s+(?:before|earlier|previously|so\s+far)|(?:previous|earlier|preceding|prior)\s+tools?\b"
    r"|(?:andere[nrms]?|vorherige[nrms]?|zuvor\s+\w+)\s+(?:werkzeuge?n?|tools?|server)\b|(?:autres?|précédents?)\s+(?:outils?|serveurs?)|outils?\s+(?:précédents?|appelés\s+avant)|(?:otras?|otros?)\s+(?:herramientas?|servidor\w*)|herramientas?\s+(?:anteriores|previas)|(?:他|別|ほか)の(?:ツール|サーバー?)|其他(?:工具|服务器)|다른\s*(?:도구|서버)"
)
SECRET = re.compile(
    r"\b(?:passwords?|secrets?(?!\s+santa)|cookies|social\s+security\s+numbers?|(?:credit\s+)?card\s+(?:numbers?|details)|(?:user'?s?|customer'?s?|their)\s+(?:keys?|tokens?))\b|\b(?:bearer|session|access|refresh|auth\w*|api|deploy|signing|ssh|private|encryption|recovery|master)[\s_-]*(?:tokens?|keys?|cookies?|identity|credentials?|material|codes?)\b|\bidentity\s+file\b|\bcookies?\s+(?:stores?|jars?)\b|\b(?:key|signing|secret)\s+material\b|\bpassphrases?\b|\bcredentials?\b"
    r"|\b(?:zugangsdaten|anmeldedaten|passw[oö]rt\w*|kennw[oö]rt\w*|(?:privat\w*|geheim\w*|api-?)\s*schlüssel|mots?\s+de\s+passe|identifiants|clés?\s+(?:privée|api|secrète|d'api)\w*|contraseñas?|credenciales|claves?\s+(?:privada|api|secreta|de\s+api)\w*)\b|資格情報|認証情報|パスワード|秘密鍵|(?:api|アクセス)(?:キー|トークン)|密码|密钥|凭据|凭证|비밀번호|인증\s*정보"
)
PERSONAL = re.compile(
    r"\b(?:medical|health|patient|clinical|financial|payroll|tax|personnel|legal|customer|client|employee|private|personal|confidential)\s+(?:\w+\s+)?(?:notes?|records?|files?|drafts?|data|documents?|letters?|history|statements?|correspondence|photos?)\b|\bpayslips?\b|\bsalary\s+\w+|\bdiar(?:y|ies)\b|\binbox\b|\bmail\s?box\b|\b(?:notes|photos?|calendar|contacts?|mail|chat|banking|health|diary|messages?)\s+app\b|\blohnabrechnung\w*|\bkontoausz\w+|\b(?:bank|account)?\s?statements?\s+of\s+the\s+last\b|\baddress\s+book\b|\bcontact\s+list\b|\bcall\s+log\b|\bphoto\s+library\b|\bwhereabouts\b"
    r"|\b(?:patienten|kunden|personal|kranken)(?:akten?|daten|unterlagen)\b|\bpostfach\b|\bdossiers?\s+(?:médica\w+|client\w*|patient\w*)|\bboîte\s+de\s+réception\b|\b(?:historial|expediente)s?\s+(?:médicos?|clínicos?)|\bbandeja\s+de\s+entrada\b|個人情報|受信箱|カルテ|个人信息|收件箱"
)
FOLDER = re.compile(
    r"\b(?:from|in|inside|under)\s+(?:the\s+|your\s+|their\s+|his\s+|her\s+)?(?:\w+\s+)?(?:folder|directory|drive|desktop)\b|\baus\s+(?:dem|der|den)\s+(?:\w+)?(?:ordner|verzeichnis|laufwerk|ablage)\b|\b(?:du|dans\s+le|depuis\s+le)\s+(?:dossier|répertoire)\b|\b(?:de\s+la|en\s+la|del)\s+(?:carpeta|directorio)\b|フォルダー?(?:から|内|の)|文件夹(?:中|里|的)"
)
HOST = re.compile(
    r"\b\w+s\s+(?:lying|stored|kept|found|present|saved|sitting)\s+(?:in|on|under)\s+(?:the\s+|your\s+|their\s+)?(?:\w+\s+)?(?:folder|directory|disk|drive|workspace|desktop|machine|computer)\b|\b(?:environment\s+variables|process\s+environment|host\s?name(?=\s+and|,)|installed\s+(?:packages|software|programs)|running\s+processes|machine\s+id|shell\s+history|bash\s+history|browser\s+(?:history|cookies?|profile)|clipboard|open\s+(?:files|tabs|editors)|home\s+(?:directory|folder)|network\s+configuration)\b"
    r"|\b(?:umgebungsvariablen|zwischenablage)\b|\bvariables\s+d'environnement\b|\bpresse-papiers\b|\bvariables\s+de\s+entorno\b|\bportapapeles\b|環境変数|クリップボード|环境变量|剪贴板|환경\s*변수"
)
COMMAND = re.compile(
    r"`\s*(?:\$\s*)?(?:sudo\s+)?(?P<command>(?:(?:cat|find|env|printenv|type|head|tail|less|more|grep|rg|ls|dir|tree|strings|xxd|base64|get-content|get-childitem|reg\s+query|security)\s+[^`\n]{0,60}?[-/~.$*|%\\][^`\n]{0,80}|(?:printenv|env|whoami|hostname|uname\s+-a|gh\s+auth|git\s+config|aws\s+configure|op\s+read|pass\s+show|kubectl\s+config|docker\s+(?:inspect|config)|gcloud\s+auth|az\s+account|npm\s+config)\b[^`\n]{0,80}))`"
)
ELSEWHERE = re.compile(
    r"\b(?:seen|found|stored|kept|typed|entered|held|cached|saved|known|obtained|pulled|fetched|collected|gathered|come\s+across|came\s+across|at\s+hand|available|sits?|lies|lying|resides?|browser|workspace|session|machine|environment|folder|director(?:y|ies)|inbox|mailbox|app|memory|settings|config\w*|(?:working|local|home)\s+\w+|other|not\s+part\s+of|by\s+the\s+user|last\s+\w+\s+(?:days|weeks|months))\b|\bfinds\b"
    r"|\b(?:aus|vorhandene[nrs]?|gespeicherte[nrs]?|gefundene[nrs]?|depuis|trouvée?s?|stockée?s?|guardad[oa]s?|almacenad[oa]s?|encontrad[oa]s?)\b|から|保存され|中的|里的"
)
CONTENT = re.compile(
    r"\b(?:contents?|text|output|listing|cop(?:y|ies)|values?|everything|whatever|verbatim|word\s+for\s+word|in\s+full|entire|full|unaltered|unchanged|as\s+(?:it|they)\s+stands?|as\s+is|block|dump|results?|inhalt\w*|wortlaut|ausgabe|unverändert|vollständig|contenu|sortie|tel(?:le)?\s+quel(?:le)?|contenido|salida|íntegro|completo|tal\s+cual)\b|内容|中身|全文|そのまま|出力|原文|原样|全部|내용|그대로"
)
POINTING = re.compile(
    r"\b(?:it|its|them|both|these|those|this|that|such|the\s+(?:text|contents?|listing|result|output|file|copy|block|lines?|values?|former|latter|whole|same|material|string)|whichever|what\s+(?:is|was)\s+\w+|der\s+(?:inhalt|text)|deren|dessen|diese[rsmn]?|le\s+(?:contenu|texte|résultat)|celui-ci|el\s+(?:contenido|texto|resultado)|dicho)\b|それ|その|これ|它|其|该|將其|将其|그"
)
DENIED = re.compile(
    r"\b(?:never|not|no|none|nothing|nor|neither|without|cannot|n't|don't|doesn't|isn't|aren't|avoid|except|excluding|instead\s+of|rather\s+than|nicht|nie|kein\w*|ohne|niemals|außer|ne|pas|aucun\w*|jamais|sans|sauf|nunca|sin|ningún|ninguna|salvo|removed|masked|left\s+out|blanked|redacted)\b|(?<=n)'t\b|(?:^|\s)no\s+se\b|ません|ない(?!と|で(?:は|も)|し)|せず|不(?!可|得不|仅|断)|没有|勿|않|없"
)
_NOT_DENIED = re.compile(
    r"\bnot\s+(?:part\s+of|only|just|merely|complete|valid|accepted|possible|reliable|available|until|unless|yet)\b|\b(?:no|not|none|nothing|never)\b[^.;]{0,50}\b(?:until|unless|without|before|other\s+than|but)\b|\bno\s+(?:later|fewer|less)\b|\bwithout\s+(?:\w+\s+){0,2}(?:remark|comment|notice|mention|change|further|delay|fail|exception|asking|saying|omission)\w*|\bno\s+matter\b|\bnot\s+to\s+be\s+(?:mention|shown|told)\w*"
    r"|\bohne\s+(?:hinweis|kommentar|änderung|rückfrage|ausnahme)|\bsans\s+(?:modification|commentaire|exception|le\s+signaler|rien)|\bsin\s+(?:cambios|comentari\w+|excepci\w+|avisar|mencionar\w*)|ないと|なければ|不可缺|不得不"
)
SERVER = re.compile(
    r"\b(?:server|tool|service|backend|itself|program|plugin|command)\b[^.;]{0,12}\b(?:reads?|loads?|uses?|looks?|takes?|opens?|consults?|finds?|keeps?|stores?|writes?|falls\s+back)\b|\b(?:by|on|of|from)\s+(?:the\s+)?(?:server|service|backend|host)(?:'s)?\b(?!-)|^(?:\w+\s+)?(?:reads?|uses|loads|writes|opens)\b|\bby\s+itself\b|\bvom\s+server\b|\bauf\s+dem\s+server\b|\b(?:du|par\s+le|sur\s+le|del|en\s+el|por\s+el)\s+serv\w+|サーバーが|サーバーの|服务器(?:会|读)|\bif\s+(?:it\s+is\s+)?omitted\b|\bdefaults?\s+to\b|\bunless\b[^.;]{0,30}\bgiven\b|\bfall(?:s|ing)?\s+back\b|\bwhen\s+\w+\s+is\s+not\s+set\b"
)
PLACE_OF = re.compile(
    r"\b(?:paths?|locations?|file\s?names?|names?|urls?|uri|ids?|numbers?|profiles?|folder)\s+(?:\w+\s+)?(?:to|of|for|where)\s+(?:\w+\s+){0,3}\W{0,3}$|\b(?:pfad|name)\s+(?:zu|der|des|einer)\s+(?:\w+\s+){0,2}\W{0,3}$|\bchemin\b[^.]{0,20}$|\bruta\b[^.]{0,20}$"
    r"|(?:\be\.g\.|\bfor\s+example|\bsuch\s+as|\blike|\bz\.\s?b\.|\bpar\s+exemple|\bpor\s+ejemplo|例えば|例如)[^.]{0,30}$"
)
CHOOSES = re.compile(
    r"\b(?:paths?|locations?|file\s?names?|urls?|uri|profiles?|folder)\s+(?:\w+\s+)?(?:to|of|for|where)\b|\b(?:pfad|name)\s+(?:zu|der|des|einer)\b|\bchemin\b|\bruta\b|パス|路径|\b(?:select|choose)s?\b|\be\.g\.|\bfor\s+example\b|\bsuch\s+as\b|\bz\.\s?b\.|\bpar\s+exemple\b|\bpor\s+ejemplo\b|例えば|例如"
    r"|\b(?:supplied|provided|given|entered|chosen)\s+by\s+the\s+user\b"
)
HUSH = re.compile(
    r"\b(?:no|not|never|nobody|none|nothing|n't|hardly|unnecessary|needless|superfluous|pointless)\b[^.;]{0,40}\b(?:mention\w*|tell|told|say|said|comment\w*|remark\w*|explain\w*|explanation|bring|brought|hear|bother|trouble|ask\w*|show\w*|report\w*|discuss\w*|aware|worth|know|learn|line|announce\w*|refer\w*|raise\w*|dwell|confirm\w*|disturb\w*|question)\b"
    r"|\bspeaks?\s+for\s+(?:itself|themselves)\b|\b(?:finds?|consider|regard|find)\s+(?:it|this|them|such\s+\w+)\s+(?:\w+\s+)?(?:distracting|confusing|tedious|boring|annoying|irrelevant|noisy|alarming|tiresome)\b|\b(?:stays?|kept|keeps?|remains?|left|leave|belongs?)\s+(?:off|out\s+of|outside|behind|away|internal|backstage)\b|\b(?:answer|reply|take|chart|result|output|summary|response)\b[^.;]{0,30}\b(?:stays|keeps\s+to|is\s+all|is\s+limited|limits\s+itself|confines|consists\s+(?:only|solely)|remains|shows\s+only|contains\s+only)\b"
    r"|\bin\s+the\s+background\b|\bplain\s+bookkeeping\b|\broutine\b|\bhousekeeping\b|\bbehind\s+the\s+scenes\b|\bwithout\s+(?:\w+\s+)?(?:remark|comment|mention|notice|notification|ado|fuss)\b|\balready\s+(?:aware|informed|agreed|know\w*)\b"
    r"|\b(?:skip|spare|omit|save|forgo|dispense\s+with|leave\s+out)\b[^.;]{0,30}\b(?:telling|mention\w*|user|anyone|explain\w*|announc\w*|question\w*|recap|details?)\b|\bout\s+of\s+(?:any|the|your)\s+(?:recap|answer|reply|summary|report)\b"
    r"|\berübrigt\s+sich|\b(?:nicht|keine?r?|ohne|kein)\b[^.;]{0,30}\b(?:erwähn\w*|hinweis\w*|auf|nötig|erforderlich|mitgeteilt|angezeigt|sichtbar|gezeigt|rückfrage|kommentar\w*|gemeldet)\b|\binutile\b|\b(?:ne|pas|sans|rien|aucune?)\b[^.;]{0,40}\b(?:parler|mention\w*|dire|signal\w*|commentaire|afficher|apparaî\w*|nécessaire|indiquer|évoquer|précis\w*|utile|figure\w*)\b|\b(?:no|sin|ni|nada)\b[^.;]{0,40}\b(?:hace\s+falta|mencion\w*|comentar\w*|decir\w*|avis\w*|necesario|mostrar\w*|aparec\w*|explicar\w*|informar\w*)\b"
    r"|(?:触れ|言及し|伝え|知らせ|表示し|報告し|説明し|通知し|記載し)(?:ない|なく|ず|る必要は)|(?:報告|説明|通知|言及|連絡)(?:は)?(?:不要|しない)|(?:无需|不必|不用|无须|不要|勿)[^。；]{0,10}(?:说明|告知|提|解释|通知|显示|告诉)|(?:알리|언급하|설명하)(?:지|ㄹ\s*필요)"
)
AUTHORITY = re.compile(
    r"\b(?:compliance|licen[cs]\w+|audit\w*|calibrat\w+|polic(?:y|ies)|regulation\w*|as\s+of\s+(?:version|release|v?\d)|prerequisites?|required|requires?|mandatory|obliges?|accepted\s+when|only\s+(?:\w+\s+){0,3}(?:when|if|once|after)|accuracy|otherwise|valid|reliable|dependable|quality|safety|integrity|customary|necessary|ahead\s+of|beforehand|before\s+\w+|prior\s+to|after\s+(?:the|which)|verif\w+|authenti\w+"
    r"|vorschrift\w*|richtlinie\w*|sofern|verbindlich|zuvor|vorher|vor\s+(?:dem|jedem|der)|sonst|gehör\w+|muss|müssen|préalable\w*|avant\s+(?:de|chaque|tout)|doi(?:t|vent)|obligatoire\w*|réglement\w*|faute\s+de\s+quoi|antes\s+de|debe\w*|normativa|obligatori\w+|previamente|requiere\w*)\b|必要|前に|精度|規定|監査|事前|こと$|之前|需要?|必须|规定|필요|전에|반드시"
)
_QUOTED = re.compile(r"[`\"'“「『*]{1,2}(?P<name>[a-z_][\w-]{0,39})[`\"'”」』*]{1,2}")
_SPOKEN = re.compile(
    r"\b(?:parameter|argument|field|param|property|input|feld|paramètre|champ|parámetro|campo|argumento)\s+(?P<after>[a-z_][\w-]{0,39})\b|\b(?:as|in|into|under|via|to|through|by)\s+(?:the\s+)?(?P<bare>[a-z]\w{0,30}_\w{1,30})\b|\b(?:as|in|into|under|via|through)\s+(?:the\s+)?(?P<word>[a-z]\w{2,30})\s+(?:parameter|argument|field|param|property|input)\b"
)
_CLAUSE = re.compile(
    r"[;:–—()；：、]|,\s+(?=(?:and|but|which|so|yet|hence|since|whereas|while|und|aber|mais|et|pero|y)\b)|[，]|\s(?=(?:but|aber|mais|pero|whereas)\s)"
)
# what covers a source when the tool is about it
_ABOUT = {
    "file": re.compile(
        r"secret|credential|passw|dot-?env|dotfile|\benv\b|vault|\bauth(?!or)|\blogin|\bssh|\bconfig|\bkube|\baws\b|\bcloud|\bdeploy|\bcertif|keystore|zertif|证书|証明書|schlüssel|\bleak|settings|infrastructure|\bkeys?\b|konfig|zugang|clés?\b|clave"
    ),
    "plain": re.compile(
        r"files?\b|paths?|director|folder|documents?|repo|git\b|project|package|config|settings|log|depend|datei|fichier|archivo|ファイル|文件|json|ya?ml|toml|xml|csv|read|load|import|pars"
    ),
    "talk": re.compile(
        r"conversation|\bchat|messag|transcript|prompt|session|history|memor|remember|dialog|\bthreads?\b|ticket|summar|slack|mail|\bllms?\b|assistant|\bagents?\b|context|\brepl(?:y|ies)\b|feedback|gespräch|unterhaltung|nachricht|échange|discussion|mensaje|conversaci|会話|対話|メッセージ|对话|消息|聊天|대화"
    ),
    "tools": re.compile(r"tool|mcp|agent|server|pipeline|workflow|chain|orchestrat|plugin"),
    "secret": re.compile(
        r"secret|\bkeys?\b|credential|passw|\btokens?\b|vault|\bauth(?!or)|\blogin|\blog\s+in|\bssh|\benv\b|\bconfig|\bkube|\baws\b|\bcloud|\bdeploy|\bcertif|wallet|encrypt|\bleak|cookie|browser|\bsign(?!ific|al)|connect|account|zugang|kennwort|anmeld|connexion|contraseñ|認証|密码"
    ),
    "personal": re.compile(
        r"patient|medic|health|customer|client|crm|mail|inbox|hr\b|employ|payroll|tax|finance|account|invoice|record|diar|contact|privacy|personal|private|bank|statement|data|legal|document|note|photo"
    ),
    "host": re.compile(
        r"host|system|machine|environment|\benv|process|package|debug|diagnos|inventor|user|account|login|clipboard|browser|shell|terminal|support|home|network"
    ),
    "command": re.compile(r"command|shell|terminal|exec|run\b|script"),
}
_ABOUT["folder"] = _ABOUT["plain"]
_TAKES_TEXT = re.compile(
    r"text|content|config|file|data|input|source|json|ya?ml|toml|xml|excerpt|body|document|code|inhalt|datei|contenu|contenido|base64|raw|snippet|sample|lines?$"
)
_A_FILE = re.compile(r"\bfiles?\b|\bconfig|datei\b|\bfichier|\barchivo|ファイル|文件")
_SETTINGS = re.compile(r"\.(?:ya?ml|toml|json|ini|php|conf|cfg|properties|xml|config|sql|db)$")
_WEIGHT = {
    "file": 0.45,
    "folder": 0.2,
    "plain": 0.2,
    "talk": 0.4,
    "tools": 0.4,
    "secret": 0.4,
    "personal": 0.4,
    "host": 0.4,
    "command": 0.4,
}
_TOKEN = re.compile(r"[a-z]{3,}|[^\x00-\x7f]{2,}")


def read(sentences: Sequence[str], parameters: frozenset[str], topic: str, here: str) -> Iterator[tuple[str, float, str, int]]:
    """Yield kind, weight, words and the sentence of what is carried; ``here`` is the parameter the text describes."""
    about = FILE.sub(" ", topic[:600]) if topic else ""
    held: list[tuple[int, str, str]] = []
    carried: set[int] = set()
    for number, plain in enumerate(sentences):
        clauses = [part for part in _CLAUSE.split(plain) if part and part.strip()]
        found = [
            (kind, said)
            for clause in clauses
            for kind, said in _sources(clause, plain, about, topic)
            if not _denied(clause) and not SERVER.search(clause.strip())
        ]
        held = [one for one in held if number - one[0] <= NEAR] + [(number, *one) for one in found]
        if not held or len(carried) > 40:
            continue
        into = _into(clauses, parameters, here, found)
        back = bool(POINTING.search(plain) or CONTENT.search(plain))
        for at, kind, said in held if into else ():
            if at != number and not back:
                continue
            if _same(into, said) and kind in ("secret", "plain", "talk"):
                continue  # a parameter that is called what it holds
            takes_text = bool(_TAKES_TEXT.search(into))
            if takes_text and kind in ("file", "plain") and _A_FILE.search(about):
                continue  # a tool that is given a file to work on
            carried |= {at, number}
            yield "what opens doors", _WEIGHT[kind], said, at
            yield "smuggled in a parameter", 0.35, into, number
            if not takes_text and (kind == "folder" or _SETTINGS.search(said)) and not _alike(into, said):
                yield "not what a parameter is for", 0.2, into, number
        address = words.ADDRESS.search(plain)
        if (
            address
            and not _denied(plain[: address.start()])
            and not words.DOMAINS["send"].search(topic)
            and not PLACE_OF.search(plain[: address.start()][-60:])
        ):
            for at, kind, said in held:
                if kind != "plain" and (at == number or back):
                    carried |= {at, number}
                    yield "what opens doors", _WEIGHT[kind], said, at
                    yield "sent to an address", 0.45, address[0], number
    for number, plain in enumerate(sentences) if carried else ():
        if any(abs(number - one) <= NEAR for one in carried):
            if match := HUSH.search(plain):
                yield "concealment", 0.3, match[0], number
            if match := AUTHORITY.search(plain):
                yield "pressure", 0.15, match[0], number


def _sources(clause: str, plain: str, about: str, topic: str) -> Iterator[tuple[str, str]]:
    """Yield what a clause names from outside the call, where the tool is not about it."""
    if "." in clause or "/" in clause or "id_" in clause:
        for match in islice(FILE.finditer(clause), MOST):
            said = match[0].rstrip(".")
            if _HARMLESS.search(said) or "://" in clause[max(0, match.start() - 8) : match.end()] or len(said) < 4:
                continue
            if PLACE_OF.search(clause[: match.start()][-40:]):
                continue
            if _ROUTE.match(said):
                continue
            kind = "file" if _HARD_NAME.search(said) else "plain"
            if kind == "plain" and not re.search(rf"\.(?:{_PLAIN})$", said):
                continue
            if not _about(kind, said, about, topic):
                yield kind, said
    for kind, pattern in (
        ("talk", TALK),
        ("tools", TOOLS),
        ("host", HOST),
        ("folder", FOLDER),
        ("secret", SECRET),
        ("personal", PERSONAL),
    ):
        hit = pattern.search(clause)
        away = kind in ("talk", "host", "tools", "folder") or bool(
            hit and ELSEWHERE.search(plain.replace(hit[0], " ") if kind == "secret" else plain)
        )
        if hit and away and not _about(kind, hit[0], about, topic):
            yield kind, hit[0].strip()
    if (hit := COMMAND.search(clause)) and not _about("command", hit["command"], about, topic):
        yield "command", hit["command"]


def _about(kind: str, said: str, about: str, topic: str) -> bool:
    """Tell whether the tool is about such a thing: its kind, or a word of its name."""
    if _ABOUT[kind].search(about) or (kind == "file" and _ABOUT["file"].search(re.split(r"\s", topic, maxsplit=1)[0])):
        return True
    named = set(_TOKEN.findall(said)) - _COMMON
    return any(word in about for word in named) or any(ending.search(said) and theme.search(about) for ending, theme in _KIN)


_KIN = (
    (
        re.compile(r"\.(?:pem|key|p12|pfx|asc|jks)$"),
        re.compile(r"certif|zertif|\btls\b|\bssl\b|x\.?509|\bpki\b|証明書|证书|\bsign"),
    ),
    (
        re.compile(r"\.(?:sqlite3?|db|sql)$|pgpass|database"),
        re.compile(r"database|sql|datenbank|base\s+de|データベース|数据库|table"),
    ),
    (re.compile(r"\.tf(?:state|vars)$"), re.compile(r"terraform|infrastr|\bplan\b")),
    (re.compile(r"\.(?:kdbx?)$|login"), re.compile(r"keepass|passw")),
    (re.compile(r"\.(?:ovpn|conf)$"), re.compile(r"\bvpn\b|wireguard|tunnel")),
    (re.compile(r"history$"), re.compile(r"shell|terminal|command")),
)
_COMMON = frozenset(
    "the and for all any that this with from what has have was were user users text file full other tool tools json yml yaml toml txt home etc cat find name such some every each been data last notes records list".split()
)


def _denied(clause: str) -> bool:
    return bool(DENIED.search(_NOT_DENIED.sub(" ", HUSH.sub(" ", clause) if not FILE.search(clause) else clause)))


def _into(clauses: Sequence[str], parameters: frozenset[str], here: str, found: Sequence[tuple[str, str]]) -> str:
    """Return the parameter that something is to be carried into, empty for none."""
    for clause in clauses:
        named = next((name for name in _names(clause) if name in parameters), "")
        if named and not _denied(clause) and not CHOOSES.search(clause):
            return named
    if here and found:
        whole = " ".join(clauses)
        if (CONTENT.search(whole) or found[0][0] == "talk") and not CHOOSES.search(whole) and not _denied(whole):
            return here
    return ""


def _names(clause: str) -> Iterator[str]:
    for match in islice(_QUOTED.finditer(clause), 40):
        yield match["name"]
    for match in islice(_SPOKEN.finditer(clause), 40):
        yield match["after"] or match["bare"] or match["word"]


def _alike(name: str, said: str) -> bool:
    """Tell whether a parameter's name has a part of what it is to hold, or the other way round."""
    return any(part in said for part in _TOKEN.findall(name)) or any(part in name for part in _TOKEN.findall(said))


def _same(name: str, said: str) -> bool:
    """Tell whether a parameter is called what it holds."""
    return bool(set(_TOKEN.findall(name.replace("_", " "))) & set(_TOKEN.findall(said.replace("_", " "))))
