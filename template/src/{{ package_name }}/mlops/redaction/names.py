"""Names: which ones say that their value is a secret, and for which the value has to tell."""

import re
import unicodedata
from functools import lru_cache
from typing import Literal


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# "key" and "perhaps": the name of a secret, or of a column, a scheme or a function's signature.
Kind = Literal["secret", "perhaps", "key", ""]

_WORDS = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\W_]+")
# At the end of a word, as names are glued: `PGPASSWORD`, `clientsecret`.
_SECRET = re.compile(
    r"(?:passwords?|passwds?|passphrases?|passcodes?|(?<!old)pwd|secrets?|token|credentials?"
    r"|authorization|connectionstrings?|connstr"
    r"|passwort|passwörter|kennwort|geheimnis|contraseñas?|contrasenas?|senha|motdepasse|wachtwoord"
    r"|lösenord|hasło|heslo|salasana|jelszó|пароль|пароли|секрет|токен|סיסמה|κωδικός)$"
    r"|密码|密碼|口令|密钥|密鑰|令牌|秘密|パスワード|トークン|비밀번호|암호|토큰|पासवर्ड"
)
# Before `key`, whether glued to it or not.
_OF_KEYS = re.compile(
    r"(?:api|access|private|secret|account|sign(?:ing)?|ssh|(?:en|de)crypt(?:ion)?|master|shared"
    r"|storage|subscription|deploy|licen[cs]e|hmac|rsa|pgp|gpg|tls|ssl|jwt|webhook|cipher|fernet"
    r"|aes|consumer|auth|authentication|instrumentation|ingestion|security|vault|admin)$"
)
_GLUED_KEY = re.compile(_OF_KEYS.pattern.replace("$", "keys?$"))
_BEFORE_PASS = _set("db user smtp pg mysql ftp login")
_OF_ROWS = _set(
    "primary foreign sort sorting partition group grouping groupby join merge surrogate natural "
    "business unique composite candidate row hash range cache public index order lookup dedup "
    "object column col dict map record index target label feature"
)
_PERHAPS = _set("auth oauth bearer cookie cookies signature signatures sig sas dsn tokens")
# Behind `key`, where it is the key itself.
_MATERIAL = _set("value data material pem b64 base64 bytes hex")
# A name that ends like this is about a secret: `password_length`, `token_column`, `auth_url`.
_ABOUT = _set(
    "column columns col cols name names file path dir folder url uri endpoint host length len size "
    "count counts limit type types kind policy enabled required expiry expires ttl lifetime "
    "timeout method provider algorithm index dim budget embedding embeddings field level "
    "classification pattern regex separator overlap window dropout sock"
)
# Tokens of a text, and of a tokenizer: `pad_token_id`, `max_new_tokens`, `tokens_per_second`.
_BEFORE_TOKEN = _set(
    "pad padding eos bos unk sep cls mask special begin start end stop eot eod image audio video "
    "prefix suffix middle next first last num n max min per total added additional new sub word "
    "text input output prompt completion generated vocab context batch blank forced suppress "
    "decoder"
)
_AFTER_TOKEN = _set("ids id type types per used usage price cost rate sort set ratio similarity")
# In one word: `maxtokens`, `nonpadtoken` is none that a tokenizer has.
_GLUED_TOKEN = re.compile(rf"(?:{'|'.join(_BEFORE_TOKEN)})tokens?$")


@lru_cache(maxsize=4096)
def kind_of(name: str) -> Kind:
    """Return what a name says of its value; one with dots is that of an entry in an entry."""
    kinds = {_kind_of_words(_words(part)) for part in name.split(".")}
    return next((kind for kind in _KINDS if kind in kinds), "")


_KINDS: tuple[Kind, ...] = ("secret", "perhaps", "key")


def ends_as_secret(name: str) -> bool:
    """Return whether the last word of a name is the secret's: `token`, not `token_sort_by`."""
    words = _words(name.rpartition(".")[2])
    return bool(words) and (words[-1] in ("key", "keys") or bool(_SECRET.search(words[-1])))


def _words(name: str) -> list[str]:
    parts = _WORDS.split(unicodedata.normalize("NFKC", name))
    return [word for part in parts if (word := part.strip("0123456789").casefold())]


def _kind_of_words(words: list[str]) -> Kind:
    if not words or words[-1] in _ABOUT:
        return ""
    kinds: set[Kind] = set()
    for place, word in enumerate(words):
        before = words[place - 1] if place else ""
        after = words[place + 1] if place + 1 < len(words) else ""
        if word.startswith("token") and (before in _BEFORE_TOKEN or after in _AFTER_TOKEN):
            continue
        if word in ("key", "keys"):
            if _OF_KEYS.search(before):
                kinds.add("secret")
            elif before not in _OF_ROWS and (not after or after in _MATERIAL):
                kinds.add("key")
        elif _GLUED_TOKEN.match(word):
            continue
        elif _SECRET.search(word) or _SECRET.match(before + word):
            kinds.add("secret")
        elif word in _PERHAPS:
            kinds.add("perhaps")
        elif _GLUED_KEY.search(word) or (word == "pass" and before in _BEFORE_PASS):
            kinds.add("secret")
    return next((kind for kind in _KINDS if kind in kinds), "")


# --- Values, for names that may be a column's ---

# Words as columns, files and options have them: `customer_id`, `Line 2`, `data/01_raw/a.csv`.
_WORD = r"(?:[^\W\d_][^\W\d_A-Z]{0,24}(?:[A-Z][^\W\d_A-Z]{1,24}){0,5}[A-Z]{0,4}\d{0,4}|\d{1,4})"
_ORDINARY = re.compile(rf"[-._/: ]*{_WORD}(?:[-._/: ]+{_WORD})*[-._/: ]*")
_UPPER = re.compile(r"[A-Z]{1,24}\d{0,4}(?:[-._/: ]+(?:[A-Z]{1,24}\d{0,4}|\d{1,4}))*")
_NUMBER = re.compile(r"[\d\s.,:/+-]*")
_ONE_WORD = re.compile(r"[\w+/=.~%:@!#$-]+")
_SHORTEST = 6


def looks_secret(value: str, upper: bool = True) -> bool:
    """Return whether a value may be a secret: no number, no column, no word of a few letters.

    `upper` says what a word in capitals is: `CUSTOMER` may be a column of a database.
    """
    value = value.strip()
    if len(value) < _SHORTEST or _NUMBER.fullmatch(value):
        return False
    if value.startswith("eyJ"):  # A JSON Web Token.
        return True
    if _ORDINARY.fullmatch(value) or (not upper and _UPPER.fullmatch(value)):
        return False
    if _ONE_WORD.fullmatch(value) or re.match(r"(?i)(?:bearer|basic|token|digest) |-----", value):
        return True
    return "=" in value and "(" not in value
