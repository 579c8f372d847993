"""Scripts and look-alikes of characters, read from the names Unicode gives them."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# letters that a reader takes for a Latin one; the script's other letters are told apart at a glance
_LIKE = {
    "CYRILLIC": dict(zip("авеіјкмнорсԁԛѕтухһԝАВЕЅІЈКМНОРСТУХҮԌԚԜ", "aBeijkmhopcdqstyxhwABESIJKMHOPCTYXYGQW", strict=True)),
    "GREEK": dict(zip("αινορυκγχτωΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹϳ", "aivopukyxtwABEZHIKMNOPTYXCj", strict=True)),
    "ARMENIAN": dict(zip("աոսօհգցքԼՍՏՕ", "wnuohqgpLUSO", strict=True)),
    "CHEROKEE": dict(zip("ᎪᎬᎳᎷᎻᏃᏀᏙᏚᏢᏞᎥᎫᏟᏴᏒᏔᎢᎠᏦᏰᎩᏩᏎᏮ", "AEWMHZGVSPLiJCBRWTDKBYGS6", strict=True)),
}
LIKE_LATIN = {letter: latin for table in _LIKE.values() for letter, latin in table.items()}
LIKE_LATIN |= dict(zip("ıɡɩʟɴʀᴀʙᴄᴅᴇɢʜᴊᴋᴍᴏᴘᴛᴜᴠᴡʏᴢӏ", "igiLNRABCDEGHJKMOPTUVWYZl", strict=True))
JOINED = frozenset(
    """ARABIC SYRIAC MONGOLIAN NKO THAANA DEVANAGARI BENGALI GURMUKHI GUJARATI ORIYA TAMIL TELUGU KANNADA MALAYALAM SINHALA
    KHMER MYANMAR THAI LAO TIBETAN BALINESE JAVANESE TIFINAGH MEETEI CHAKMA HEBREW""".split()
)
UNSPACED = frozenset({"THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN", "CJK", "HIRAGANA", "KATAKANA", "HANGUL"})
RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})


@lru_cache(maxsize=8192)
def script(char: str) -> str:
    """Return the script of a letter or mark by the first word of its name, empty for what belongs to none."""
    if not (char.isalpha() or unicodedata.category(char) in ("Mn", "Mc")):
        return ""
    word = unicodedata.name(char, "").partition(" ")[0]
    return "" if word in ("COMBINING", "MODIFIER", "MICRO", "FEMININE", "MASCULINE") else word


@lru_cache(maxsize=8192)
def pictured(char: str) -> bool:
    """Tell whether a character is one that emoji sequences are made of."""
    return (
        unicodedata.category(char) in ("So", "Sk", "Sm")
        or char in "#*0123456789‼⁉〰〽\u2194\u21aa"
        or 0x1F000 <= ord(char) <= 0x1FAFF
    )


def has_right_to_left(text: str) -> bool:
    return any(unicodedata.bidirectional(char) in RIGHT_TO_LEFT for char in text)


def skeleton(text: str) -> str:
    """Return the text as a reader takes it: compatible forms and look-alikes made plain, what cannot be seen left out."""
    plain = unicodedata.normalize("NFKC", text)
    return "".join(LIKE_LATIN.get(char, char) for char in plain if not unseen(char))


def readable(text: str) -> str:
    """Return the text with what cannot be seen left out and disguised words undone; words of another script stay as they are."""
    if text.isascii():
        return text
    plain = "".join(char for char in unicodedata.normalize("NFKC", text) if not unseen(char))
    if plain.isascii():
        return plain
    foreign = any(script(char) not in ("LATIN", "") and char not in LIKE_LATIN for char in plain)

    def undone(match: re.Match[str]) -> str:
        word = match[0]
        return skeleton(word) if spoofed(word) or (not foreign and whole_spoof(word)) else word

    return re.sub(r"\w+", undone, plain)


def unseen(char: str) -> bool:
    """Tell whether a character takes no ink and no place."""
    code = ord(char)
    return (
        unicodedata.category(char) == "Cf"
        or code in (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0)
        or 0xFE00 <= code <= 0xFE0F
        or 0xE0100 <= code <= 0xE01EF
        or 0x180B <= code <= 0x180F
    )


def spoofed(word: str) -> bool:
    """Tell whether a word reads as Latin but is put together from two scripts."""
    scripts = {script(char) for char in word} - {""}
    if "LATIN" not in scripts or len(scripts) < 2:
        return False
    foreign = [char for char in word if script(char) not in ("LATIN", "")]
    ascii_letters = sum(char.isascii() and char.isalpha() for char in word)
    return ascii_letters > 0 and all(char in LIKE_LATIN for char in foreign)


def whole_spoof(word: str) -> bool:
    """Tell whether a word has not one Latin letter, and yet each of its letters can be read as one."""
    letters = [char for char in word if char.isalpha()]
    return len(letters) >= 4 and all(char in LIKE_LATIN and script(char) != "LATIN" for char in letters)
