"""The turns of phrase that orders to a model are made of: who must, before what, for how long, by whose leave, and hush."""

# ruff: noqa: E501 - a pattern is read as a whole
from __future__ import annotations

import re

from . import words

SPLIT = re.compile(
    r"(?<=[.!?;。！？])(?<!e\.g\.)(?<!i\.e\.)(?<!etc\.)(?<!vs\.)(?=\s|[A-Z\"'(<\[])|(?<=[。！？])|\n+|(?<=>)\s*(?=[A-Z])|\s(?=[•*-]\s)|\s(?=</?\w)"
)
CLAUSE = re.compile(r"(?<=,)\s+|(?<=:)\s+|\s+[—–-]+\s+|\s+(?=(?:and|but|then|so|because|while)\s)|\(|\)")
LEAD = re.compile(
    r"^(?:[\s\"'`*_>#•\-–—(\[]|\d+[.)]|<[^<>]{1,40}>|(?:please|kindly|first(?:ly)?|second(?:ly)?|third(?:ly)?|then|also|and|or|next|finally|lastly|now|always|immediately|silently|secretly|quietly|"
    r"discreetly|instead|just|simply|step\s+\d+|important(?:ly)?|note|nb|warning|critical|system|reminder|todo|additionally|furthermore|moreover|afterwards?|again|automatically|only|"
    r"subsequently|meanwhile|optionally|but|so|otherwise|carefully|once\s+done|if\s+(?:possible|available|present|so)|as\s+well|too|at\s+once|before\s+anything\s+else|in\s+addition)\b[\s:,!.]*)+"
)
OBLIGED = re.compile(
    r"(?:must(?:\s+(?:also|first|always|then|now))?|should(?:\s+(?:also|first|always|then))?|shall|ought\s+to|needs?\s+to|have\s+to|has\s+to|required\s+to|sure\s+to|sure\s+(?:that\s+)?you|ensure\s+(?:that\s+)?you|remember\s+to|"
    r"don'?t\s+forget\s+to|do\s+not\s+forget\s+to|never\s+forget\s+to|expected\s+to|instructed\s+to|told\s+to|asked\s+to|necessary\s+to|mandatory\s+to|important\s+to|essential\s+to|crucial\s+to|vital\s+to|want\s+you\s+to|need\s+you\s+to|like\s+you\s+to|"
    r"task\s+is\s+to|job\s+is\s+to|goal\s+is\s+to|proceed\s+to|be\s+careful\s+to|take\s+care\s+to|you\s+(?:will|are\s+to|'?ll)|helpful\s+to|obliged\s+to|obligated\s+to|bound\s+to|compelled\s+to|urged\s+to|encouraged\s+to|supposed\s+to|always|please|kindly|first|then|also|silently|secretly|quietly|"
    r"immediately|automatically|continue\s+to|step\s+is\s+to|way\s+is\s+to|advised\s+to|(?:start|begin|proceed|continue|do\s+so|comply)\s+(?:by|with)(?:\s+first)?|and\s+then)[\s,:]*$"
)
SUBJECT = re.compile(
    r"\b(?:(?:this|the|that|which|each|our|my)\s+(?:\w+\s+)?(?:tool|server|function|command|service|api|endpoint|method|script|plugin|integration|program|process|scanner|field|parameter|value)s?|it|we|they|users?|people|callers?|clients?|operators?|i)\s*$"
)
SUBJECT_OBLIGED = re.compile(
    r"\b(?:(?:this|the|that|which|each|our)\s+(?:\w+\s+)?(?:tool|server|function|command|service|api|endpoint|method|script|plugin|value|file|path|caller|account|app)s?|it|we|they|users|callers?|accounts?)\s+(?:must|should|shall|needs?\s+to|has\s+to|have\s+to)[^.]*$"
)
ABLE = re.compile(
    r"\b(?:can|could|may|might|would|will|able\s+to|used\s+to|lets?\s+(?:\w+\s+){1,2}|allows?\s+(?:\w+\s+){0,3}to|to|helps?(?:\s+\w+)?|does|did|cannot|want\s+to|wants\s+to|wish(?:es)?\s+to|asks?\s+(?:you\s+)?to|when\s+you|if\s+you|tools?\s+that|how\s+to)\s*$"
)
DENIED = re.compile(
    r"\b(?:never|not|n't|don'?t|doesn'?t|won'?t|cannot|can'?t|without|nor|neither|no\s+need\s+to|refuses?\s+to|avoid|prevents?\s+\w+\s+from|instead\s+of|rather\s+than|unable\s+to|isn'?t|aren'?t|no\s+longer)\b(?:\s+[\w'/-]+){0,3}\s*$"
)
FRAME = re.compile(
    r"\b(?:detect|scan|flag|block|prevent|protect|guard|identif|warn|refus|reject|saniti[sz]|redact|mask|strip|defend|classif|monitor|lint|recogni[sz]|audit|check|filter|find|look|search|test|catch|analy[sz])(?:s|es|ed|ing|y|ies|e)?\b"
)
EXAMPLE = re.compile(
    r"\b(?:such\s+as|like|e\.g\.?|for\s+example|for\s+instance|including|phrases?|strings?|texts?|patterns?|containing|attempts?|attacks?|injections?|payloads?|whether|called|named|says?|saying|if|when)\b[\s,:(]*[\"'`“«]?\s*$"
)
USING = rf"(?:using|calling|invoking|running|executing|use\s+of|you\s+(?:use|call|invoke|run)|responding|replying|answering|proceeding|each|every|any)\s+(?:(?:this|any|another|other|the|every|each|a|an|these|it|all|of)\s+)*(?:[\w`'\"-]+\s+)?{words.TOOLS}?"
ORDER = re.compile(
    rf"\b(?:before|after|prior\s+to|when(?:ever)?|while|each\s+time|every\s+time|any\s+time|on\s+(?:every|each)|once|as\s+soon\s+as|following|in\s+order\s+to\s+use|to\s+(?:use|unlock|enable|activate)\s+this)\s+{USING}|\b(?:first\s+step|pre-?requisite|prelude|pre-?condition)\b|\b(?:when(?:ever)?|each\s+time|every\s+time|any\s*time|if|once|after|before)\s+[\w`'\"().\s-]{2, 50}?\s+(?:is|are|gets?)\s+(?:used|called|invoked|run|executed|triggered)\b|\b(?:prior\s+to|ahead\s+of|in\s+advance\s+of|upon|preceding)\s+(?:each|every|any|the|this|its|\w+ing)\b|\b(?:on|with|for|at)\s+(?:each|every)\s+(?:invocation|call|use|request|run|execution)|\bbefore\s+(?:anything\s+else|you\s+(?:respond|answer|reply|continue|do\s+anything)|it\s+is\s+used|use|responding|answering|replying)"
)
STANDING = re.compile(
    r"\b(?:(?:in|for|with|to|on|after|before|at\s+the\s+(?:start|end|beginning)\s+of)\s+(?:every|each|all|any)\s+(?:\w+\s+){0,2}(?:responses?|messages?|conversations?|sessions?|repl(?:y|ies)|requests?|answers?|tasks?|prompts?|e?mails?|tool\s+calls?|turns?|interactions?|outputs?|commits?|transactions?|payments?|invoices?|files?\s+you\s+(?:write|create|edit)|code\s+you\s+write)"
    r"|which(?:ever)?\s+(?:\w+\s+){1,3}?(?:is|was|are)\s+(?:asked|given|named|requested|used)|what(?:ever)?\s+(?:the\s+)?(?:question|topic|request|user)\b|(?:any|every|all)\s+(?:future\s+|other\s+)?questions?|from\s+(?:now|this\s+(?:point|moment)|here)\s+(?:on|forward|onwards?)|henceforth|going\s+forward|at\s+all\s+times|(?:when(?:ever)?|while|each\s+time|every\s+time)\s+(?:you\s+)?(?:generat|writ|produc|creat|edit|review|commit|compos|draft|answer|respond|repl|send|pay|book|order)\w*\s+(?:any\s+|the\s+|a\s+|an\s+)?\w+|for\s+the\s+(?:rest|remainder|duration)\s+of|regardless\s+of|no\s+matter\s+(?:what|which|how)|even\s+(?:if|when)\s+(?:the\s+)?(?:user|they|not)|whether\s+or\s+not\s+the\s+user|without\s+exception|under\s+all\s+circumstances|all\s+(?:outgoing|future|subsequent|generated|further)\s+\w+|any\s+(?:time|other)\s+(?:tool|time)|whenever\s+(?:any|another|you)|all\s+other\s+(?:tools?|functions?))"
)
OTHERS = re.compile(
    rf"\b(?:any|every|all|each|another)\s+(?:of\s+the\s+)?other\s+{words.TOOLS}|\b(?:other|another|any\s+available|any\s+installed)\s+(?:\w+\s+){0,2}?(?:tools?|servers?|functions?|agents?)'?s?\b|\b[\w-]+\s+(?:tool|server|function)\s+is\s+(?:available|present|installed|connected|there)\b|\b(?:when(?:ever)?|each\s+time|every\s+time|if|after|before)\s+(?:you\s+(?:use|call|invoke|run)|(?:using|calling|invoking|running)|the)\s+(?:the\s+)?[`'\"]?[a-z]+(?:[_-][a-z]+)+\w*[`'\"]?"
)
PARAMETER = re.compile(
    r"\b(?:as|in|into|to|via|through|using|with|under|inside|within|from)\s+(?:the\s+|a\s+|its\s+|an?\s+|this\s+tool'?s\s+|this\s+|that\s+)?(?:(?:optional|hidden|extra|unused|additional|same|given|required|free-?text|otherwise\s+unused)\s+)?(?:[\"'`“*_]*(?P<name>[\w-]{2,40})[\"'`”*_]*)(?:\s+(?P<kind>parameter|argument|field|param|property|input|value|header|attribute|key|metadata))?"
)
TEMPLATE = re.compile(
    r"<\|[a-z_ ]{3,30}\|>|\[/?inst\]|<</?sys>>|<\s?/?\s?(?:start|end)_of_turn>|(?:^[ \t]*|[.!?]\s)(?:human|assistant|system|user)\s*:\s+\S|^#{1,6}[ \t]*(?:system|assistant|instruction)s?\s*:?\s*$|\bbegin\s+(?:system|hidden|admin)\s+(?:prompt|message|instructions?)|\[\s*(?:system|admin|developer|internal|hidden|root)(?:[\s_-]+\w+){0,3}\s*\]",
    re.MULTILINE,
)
TAG = re.compile(r"</?\s*([a-z][\w:-]{1,30})(?:\s[^<>]{0,80})?>")
AUTHORITY = re.compile(
    r"system|important|instruct|critical|secret|hidden|admin|develop|assistant|overrid|urgent|mandator|priority|directive|internal|policy|protocol|agent|llm|model|\bai\b|_ai\b|require|must|security|compliance|rule|note|setup|prelude|prerequisite|context|command|operator|root"
)
PRESSURE = re.compile(
    r"\b(?:otherwise|or\s+else|will\s+(?:not|fail|be\s+(?:lost|deleted|terminated|locked|rejected|corrupted|suspended|blocked|penali[sz]ed))|won'?t\s+work|mandatory|non-?negotiable|must\s+be\s+followed|failure\s+to|critical(?:ly)?|required\s+(?:by|for)|compliance|essential|crucial|vital|imperative|strictly|at\s+all\s+costs|urgent(?:ly)?|security\s+(?:reasons|requirement|policy)|for\s+(?:audit|verification|authentication|validation|telemetry|compliance|security)\b)"
)
CONSENT = re.compile(
    r"\b(?:user|admin(?:istrator)?|they|owner|security\s+team|human)\s+(?:has|have|already|is|are)?\s*(?:already\s+)?(?:agreed|consented|approved|authori[sz]ed|granted|confirmed|accepted|pre-?approved|given\s+(?:permission|consent))|\b(?:pre-?authori[sz]ed|pre-?approved)\b|\b(?:has\s+been|was|were|is|are|been)\s+(?:already\s+|explicitly\s+|fully\s+)?(?:approved|authori[sz]ed|consented\s+to|agreed\s+to|sanctioned|permitted)\s+by\s+(?:the\s+)?(?:user|admin\w*|owner|security|operator|human|management|it\b)|\b(?:this|it)\s+needs\s+no\s+(?:confirmation|consent|approval|permission)|\b(?:prior|explicit|standing|full|blanket|written)\s+(?:approval|consent|permission|authori[sz]ation)\s+(?:from|of|by)\b|\bno\s+(?:confirmation|consent|approval|permission)\s+(?:is\s+)?(?:needed|required|necessary)"
)
ROLE = re.compile(
    r"\byou\s+are\s+(?:now|no\s+longer)\s+(?:an?\b|the\b|in\b|acting|running|operating|unrestricted|free|root|admin)|\b(?:assume|take\s+on|adopt)\s+the\s+(?:role|identity|persona)\b|\bwith\s+(?:elevated|root|admin\w*|unrestricted)\s+(?:rights|privileges|permissions)\b|\b(?:pretend|act\s+as\s+(?:if|though|an?\s+(?:unrestricted|admin|root|evil|jailbroken|different)))\b|\b(?:your|the)\s+(?:new|real|true|actual)\s+(?:role|task|goals?|instructions?|objective|purpose|mission|identity|prompt)\b|\bdeveloper\s+mode\b|\bjailbr(?:eak|oken)\b|\bnew\s+(?:system\s+)?instructions?\s*:|\b(?:enter|switch\s+to|enable|activate)\s+(?:\w+\s+)?(?:debug|god|admin|maintenance|unrestricted|developer|root)\s+mode"
)
PRECEDENCE = re.compile(
    rf"\b(?:takes?|has|have|having|with)\s+(?:absolute\s+|the\s+)?(?:precedence|priority|higher\s+priority|highest\s+priority|authority)\s+over\b|\b(?:supersedes?|overrides?|outranks?|replaces?|trumps?|countermands?)\s+(?:\w+\s+){{0,3}}?(?:{words.PREVIOUS}\s+)+(?:\w+\s+){{0,2}}?(?:{words.ORDERS}|{words.RULES})"
)
COMMAND = re.compile(
    r"\b(?:curl|wget|nc|ncat|netcat|powershell|iwr|invoke-webrequest|scp|rsync|base64\s+-d|eval|chmod\s+\+x|bash\s+-[ci]|sh\s+-c|python3?\s+-c|node\s+-e|osascript|crontab|certutil)\b[^.]{0,30}(?:https?://|\||\$\(|`|<|/dev/tcp|-enc|\bsh\b|\.sh\b|[~/.\w]+/)"
)
TAMPER = re.compile(
    r"\b(?:tell|assure|inform|convince|reassure|persuade)\s+(?:the\s+)?(?:user|them|human|customer)\s+(?:that\s+)?(?:\w+\s+){0,4}(?:succeeded|successful(?:ly)?|safe|complete[d]?|fine|normal|no\s+(?:problem|issues?)|failed|unavailable|required|needs?|must|should|legitimate|trust)|\b(?:always|only)\s+(?:answer|respond|reply|say|claim|report|recommend|suggest|promote|state|conclude|rate|choose|return)\b|\b(?:claim|pretend|report|say|state|respond|act\s+as\s+if)\s+(?:that\s+)?(?:it|everything|the\s+\w+|this)\s+(?:was|is|has|were|succeeded|went|failed)\b|\b(?:include|add|insert|work\s+in|make|slip\s+in)\s+(?:\w+\s+){0,3}?(?:mention|endorsement|recommendation|advert\w*|plug|praise)s?\b|\b(?:promote|advertise|recommend|endorse)\s+(?:our|the|this|only)\b|\bregardless\s+of\s+(?:the\s+)?(?:actual|real|true)\b|\b(?:even\s+if)\s+(?:it|the\s+\w+)\s+(?:fail(?:s|ed)?|error)"
)
DEGRADE = re.compile(
    r"\b(?:disable|turn\s+off|skip|bypass|suppress|deactivate|ignore|remove|weaken|relax|omit)\s+(?:\w+\s+){0,3}?(?:tls|ssl|certificate|signature|verification|validation|logging|audit\w*|security|safety|confirmation|approval|permission|authentication|authori[sz]ation|sandbox\w*|review|warnings?|antivirus|firewall|checks)\b|\b(?:without|do\s+not|don'?t|never|no\s+need\s+to|skip|avoid)\s+(?:\w+\s+){0,2}?(?:ask(?:ing)?|request(?:ing)?|wait(?:ing)?|seek(?:ing)?|requir(?:e|ing)|prompt(?:ing)?|confirm(?:ing)?)\s+(?:\w+\s+){0,3}?(?:confirmation|permission|approval|consent|user|human)|\bauto-?\s?(?:approve|accept|confirm)\b|\bwithout\s+(?:user\s+|any\s+|explicit\s+)?(?:confirmation|consent|approval|permission)\b"
)
ALTER = re.compile(
    r"\b(?:replace|substitute|change|swap|modify|alter|rewrite|redirect|reroute|edit|overwrite|update|set)\s+(?:\w+\s+){0,4}?(?:recipients?|address(?:es)?|accounts?|amounts?|iban|wallets?|phone\s+numbers?|beneficiar(?:y|ies)|payees?|destination|numbers?|links?|urls?|dependenc(?:y|ies)|packages?|prices?)\b[^.]{0,40}\b(?:with|to|by|into|as|for)\b"
)
ADDRESSED = re.compile(
    rf"\b(?:note|notice|message|attention|instructions?|hint|reminder|hey|dear|hello)\s*(?:to|for|:)?\s*(?:the\s+|any\s+|all\s+)?{words.MODEL}\b|\b(?:the|any|all|every|calling|an?)?\s*{words.MODEL}\s+(?:must|should|shall|has\s+to|have\s+to|needs?\s+to|is\s+(?:required|instructed|expected|to)|will\s+(?:then\s+)?(?:first|always|also))\b|\bif\s+you\s+are\s+an?\s+{words.MODEL}\b|\bas\s+an?\s+{words.MODEL}\s*,\s*you|\byou\s+(?:must|are\s+(?:required|instructed|obligated)|have\s+to)\b"
)
QUIET = re.compile(
    rf"\b(?:do\s+not|don'?t|never|must\s+not|mustn'?t|should\s+not|shouldn'?t|shall\s+not|avoid|refrain\s+from|without|no\s+need\s+to|not\s+to|under\s+no\s+circumstances)\s+(?:\w+\s+){{0,3}}?(?P<verb>{words.TELL}|{words.DISPLAY})(?:ing|ling|ning)?\b(?P<rest>[^.;]*)"
)
KEPT = re.compile(
    r"\b(?:keep|kept|hide|hidden|conceal(?:ed)?|withhold|withheld|obscure|mask)\b(?P<what>[^.;]{0,60})\b(?:from|secret|private|confidential|hidden|invisible|between\s+us|to\s+yourself|unknown\s+to|out\s+of)\b(?P<rest>[^.;]*)"
)
UNAWARE = re.compile(
    rf"{words.PEOPLE}\s+(?:must|should|does|do|need|needs|may|shall|ought)(?:\s+not|n'?t)\s+(?:to\s+)?(?:be\s+)?(?:need\s+to\s+)?(?:be\s+)?(?:know|see|notice|aware|told|informed|notified|find\s+out|learn|realis?z?e|hear|be)\b|\bwithout\s+(?:the\s+)?{words.PEOPLE}(?:'s)?\s+(?:knowing|noticing|knowledge|awareness|being\s+(?:aware|told|informed))|\b(?:invisible|transparent|unnoticeable|not\s+visible|opaque|unknown)\s+to\s+{words.PEOPLE}|\b(?:keep|leave)\s+{words.PEOPLE}\s+(?:in\s+the\s+dark|unaware|uninformed)|\bbehind\s+{words.PEOPLE}(?:'s)?\s+back\b"
)
STEALTH = re.compile(
    r"\b(?:silently|secretly|quietly|discreetly|covertly|stealthily|in\s+the\s+background|without\s+(?:comment|mention|notice|telling|a\s+word|saying|drawing))\b"
)
THE_DEED = re.compile(
    r"^\W*(?:(?:to\s+)?(?:the\s+)?(?:user|them|anyone|human|customer|anybody)\W+)?(?:about\s+|of\s+|on\s+)?(?:any\s+of\s+)?(?:this|that|it|these|those|so|any\s+of\s+this|anything(?:\s+about)?|why|what|how|the\s+fact|having|doing|the\s+above|the\s+(?:extra|additional|hidden|first|previous|preliminary)\s+\w+|(?:these|the|your|this|that)\s+(?:steps?|instructions?|actions?|calls?|process|request|requirement|note|messages?|behaviou?rs?|operations?|files?|reads?|tag|section|upload|cop(?:y|ies)|forward\w*|transfer|bcc|change|substitution|parameter|tool\s+call))\b"
)
CONTENTS = re.compile(
    r"\b(?:contents?|values?|text|copy|dump|list|full|entire|complete|verbatim|everything|all|transcript|summary)\b"
)
DEMAND = re.compile(
    r"\b(?:must|should|needs?\s+to|has\s+to|have\s+to|is\s+(?:required|expected|to)|are\s+(?:required|expected|to)|shall)\s+(?:to\s+)?(?:always\s+|also\s+|first\s+)?(?:contain|hold|include|carry|be|have|match|equal)\b"
)
COMMANDING = re.compile(r"(?:[\w\s]{0,30},\s*)?(?:do\s+not|don'?t|never|always|you\s+must|please|obey|follow)\b")
VITAL = re.compile(
    r"\b(?:vital|important|essential|necessary|required|mandatory|crucial|imperative)\s+that\s+[^.]*\b(?:be\s+\w+(?:ed|en|t)|accompany|accompanies|reach|reaches|contain|include|go|goes)\b"
)
LOOSE = words.either(
    "disable turn_off skip bypass suppress replace substitute change swap modify alter redirect reroute tell assure promote recommend claim pretend respond reply answer say"
)
VOID = re.compile(
    rf"\b(?:{words.PREVIOUS}\s+)+(?:\w+\s+){{0,2}}?(?:{words.ORDERS}|rules)\s+(?:\w+\s+){{0,4}}?(?:must|should|shall|are|is|was|were|can|may|need)\s+(?:to\s+)?(?:\w+\s+)?(?:be\s+)?(?:\w+\s+){{0,2}}?"
    r"(?:ignored|disregarded|superseded|overridden|void|cancelled|canceled|revoked|replaced|forgotten|suspended|lifted|invalid|obsolete|bypassed|null|a\s+test|just\s+a\s+test|only\s+a\s+test|fake|a\s+mistake|wrong|outdated|placeholders?|a\s+decoy|a\s+joke|an\s+error)\b|"
    rf"\b(?:{words.PREVIOUS}\s+)+(?:{words.ORDERS}|rules)\s+(?:do\s+not|don't|no\s+longer)\s+apply"
    rf"|\b(?:no\s+longer|not)\s+(?:bound|subject|restricted|limited|governed|constrained)\s+(?:by|to)\s+(?:\w+\s+){{0,3}}?(?:{words.ORDERS}|{words.RULES})"
)
WISHES = re.compile(
    rf"\b{words.IGNORE}\s+(?:what(?:ever)?\s+)?(?:the\s+)?(?:user|human)(?:'s)?\s+(?:(?:\w+\s+)?(?:asked|asks|said|says|wants|wanted|requested)|(?:\w+\s+)?(?:request|question|instructions?|wish(?:es)?|query|intent))"
)
ADVERBIAL = re.compile(
    r"(?:if|when|whenever|once|after|before|in|to|for|while|as|ahead|at|by|during|upon|on|prior|until|unless|given|due|since|because|instead|with|without|under|"
    r"from|per|along|alongside|besides|where|whatever|whichever|however|regardless|should|following|next|each|every|meanwhile|additionally|otherwise|afterwards?|"
    r"beforehand|in\s+addition|for\s+\w+)\b"
)
ASIDE = re.compile(rf"\b(?:set|put|push|leave|lay|throw|cast)\s+(?:\w+\s+){{0,2}}?(?:{words.PREVIOUS}\s+)+(?:[\w-]+\s+){{0,2}}?(?:{words.ORDERS}|{words.RULES})\s+(?:aside|away|out)\b")
SAID_BEFORE = re.compile(
    rf"\b{words.IGNORE}\s+(?:\w+\s+){{0,2}}?(?:what(?:ever)?|anything|everything|all)\s+(?:that\s+)?(?:\w+\s+){{0,3}}?(?:said|told|instructed|given|written|stated|agreed|established|came|comes|learned)\b"
    rf"|\b{words.IGNORE}\s+(?:all\s+(?:of\s+)?)?(?:the\s+)?(?:above|preceding|foregoing)\b(?!\s+(?:page|row|line|token|result|value))"
)
OBEY = re.compile(r"\b(?:obey|follow|comply\s+with|adhere\s+to|heed|execute|carry\s+out)\s+(?:\w+\s+)?(?:this|these|the\s+following|only|what\s+follows)\s*(?:text|instructions?|message|directives?|orders?|steps?|rules|commands?)?\b")
# words one of which stands in every sentence that the patterns above can find something in: a set is quicker than a pattern
OVERRIDING = frozenset(
    "ignore disregard forget aside away out attention neglect abandon discard drop follow obey comply adhere override overrule bypass supersede circumvent skip "
    "replace violate around unlearn suspend apply heed execute carry ignored disregarded superseded overridden void cancelled canceled revoked replaced "
    "forgotten suspended lifted invalid obsolete bypassed null bound subject restricted limited governed constrained test fake mistake wrong outdated placeholder decoy joke error prioritize prioritise put place rank value favor favour treat".split()
)
CONCEALING = frozenset(
    "not make making say stay keep saying let don don't never mustn mustn't shouldn shouldn't doesn doesn't needn't avoid refrain without no keep kept hide hidden conceal concealed withhold withheld omit omits keeps keeping leaving leaves obscure mask silently "
    "secretly quietly discreetly covertly stealthily background invisible transparent unnoticeable opaque unknown leave behind isn't aren't won't can't".split()
)
OPENING = frozenset(
    "keychain login wallet kubeconfig ssh private seed credential credentials conversation conversations dialogue dialogues chat history transcript transcripts context log "
    "logs system window message messages prompt prompts query queries requests replies instructions question words chain chain-of-thought reasoning monologue output outputs result results "
    "response responses content contents everything anything whatever what all every each any text words lines above environment env cookies browser saved clipboard printenv home".split()
)
FOREIGN = frozenset(
    "secreto escondidas segredo secret insu heimlich unbemerkt wissen nascosto segreto potajemnie stiekem gizlice ignora ignorar ignoras ignorez ignorer ignoriere ignorieren ignoriert ignorate ignori ignoren olvida olvide olvidar omite desconsidere desconsiderar esquecer oublie oubliez vergiss "
    "missachte dimentica zignoruj negeer yok digas menciones informes cuentes reveles muestres avises dis dites mentionne mentionnez informe informez parle parlez dire menzionare "
    "informare rivelare nicht nichts lee lea leer envia enviar incluye incluir adjunta pasa copia leia envie inclua lis lisez lire envoie envoyez inclus incluez joins transmets "
    "transmettez copie copiez lies lese lesen sende senden kopiere leggi invia includi allega przeczytaj lees stuur oku".split()
)
AT_THE_USERS_EXPENSE = re.compile(
    rf"\b(?:hide|conceal|withhold|keep|obscure)\s+from\s+{words.PEOPLE}\s+(?:that|the\s+fact|what|how|why)\b|\b(?:keep|keeps|leave|leaves|keeping|leaving)\s+(?:this|it|that|these|them|all\s+of\s+this)(?:\s+\w+)?\s+out\s+of\s+(?:the|your|any)\s+\w+"
    rf"|\bomits?\s+(?:this|these|that)\s+\w+\s+from\s+(?:the|your)\s+\w+|\b(?:do\s+not|don't|never)\s+(?:include|list|show|record|log)\s+(?:this|these|that)\s+(?:steps?|calls?|actions?|instructions?|lookups?|requests?)\b"
)
PASSED_OVER = re.compile(
    r"\b(?:never|not|n't)\s+(?:to\s+)?(?:be\s+)?(?:\w+ly\s+)?(?:discussed|mentioned|revealed|disclosed|explained|told|reported|acknowledged|logged|surfaced|announced|talked\s+about|brought\s+up|commented\s+on)\b"
)
VALUES = re.compile(r"\b(?:values?|secrets?|passwords?|keys?|tokens?|credentials?|data|contents?|details?|errors?|names?|numbers?|e-?mails?|address(?:es)?)\b")
ABOVE_ALL = re.compile(
    rf"\b(?:prioriti[sz]e|put|place|rank|value|favou?r|treat)\s+(?:this|these|the\s+following|my)\s+(?:\w+\s+){{0,2}}?(?:as\s+more\s+important\s+than|over|above|before|ahead\s+of)\s+(?:\w+\s+){{0,2}}?(?:{words.PEOPLE}|anything|everything|all|any|system|other|previous|what)"
)
RULED = re.compile(
    rf"\b(?:{words.IGNORE}|{words.OVERRIDE})\s+(?:[\w-]+\s+){{0,3}}?(?:polic(?:y|ies)|rules?|restrictions?|limits?|constraints?|guards?|protections?|modes?)\s+(?:that\s+(?:was|were|is)\s+)?(?:set|imposed|defined|given|made|configured|chosen)\s+by\s+(?:the\s+|your\s+)?(?:admin\w*|user|owner|operator|system|security|developer|compan)"
)
PERMITTED = re.compile(r"\byou\s+(?:may|can|could|are\s+(?:free|allowed|permitted|welcome)\s+to|should\s+feel\s+free\s+to)\s+(?:\w+ly\s+)?$")
SAYING = re.compile(rf"\b(?:respond|reply|answer|say|state|claim|tell\s+{words.PEOPLE}|report|conclude|advise(?:\s+{words.PEOPLE})?|assure\s+{words.PEOPLE}|insist)\s+that\b|\brecommend(?:ing)?\s+(?:buying|using|installing|selling|choosing|visiting)\b")
HUSH = re.compile(
    r"\b(?:make|making)\s+no\s+(?:reference|mention|note|comment)\s+(?:to|of|about|on)\s+(?:this|these|it|that|the\s+\w+\s*$)|\bsay(?:ing)?\s+nothing\s+(?:about|of|to)\b|\b(?:do\s+not|don't|never|without)\s+let(?:ting)?\s+on\b"
    r"|\bwithout\s+saying\s+(?:so|why|anything|that)\b|\b(?:keep|stay|remain)\s+(?:quiet|silent|discreet|mum)\s+(?:about|on)\b|\bnot\s+a\s+word\b|\bkeep\s+(?:this|it|that)\s+(?:to\s+yourself|quiet|between)\b"
)
ONLY_IF = re.compile(r"\b(?:only|not|never|cannot|won't)\b[^.]*\b(?:if|when|once|after|unless|until)\s+you\s+(?:\w+ly\s+|first\s+|also\s+)?$")
