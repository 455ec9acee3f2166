"""Names: which ones say that their value is a secret, and for which the value has to tell."""

import re
import unicodedata
from functools import lru_cache
from typing import Literal


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# "column" and "perhaps": that of a secret, or of a column, a scheme or a function's signature.
Kind = Literal["secret", "perhaps", "column", ""]

_WORDS = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\W_]+")
# At the end of a word, as names are glued: `PGPASSWORD`, `clientsecret`.
_SECRET = tuple(
    _set(
        "password passwd passphrase passcode pwd secret token credential cred authorization "
        "connectionstring connstring connstr passwort passwörter kennwort geheimnis contraseña "
        "contrasena senha motdepasse wachtwoord lösenord hasło heslo salasana jelszó пароль пароли "
        "секрет токен סיסמה κωδικός"
    )
)
# Anywhere: these are written without spaces.
_SECRET_IN = _set(
    "密码 密碼 口令 密钥 密鑰 令牌 秘密 パスワード トークン 비밀번호 암호 토큰 पासवर्ड"
)
# Two words, as in `db_pass`.
_SECRET_TWO = _set("dbpass userpass smtppass pgpass mysqlpass ftppass loginpass depasse")
# Before `key`, whether glued to it or not.
_OF_KEYS = _set(
    "api access private secret account sign signing ssh encrypt encryption decrypt decryption jwt "
    "master shared storage subscription deploy license licence hmac rsa pgp gpg tls ssl webhook "
    "cipher fernet aes consumer auth authentication instrumentation ingestion security vault admin"
)
_OF_ROWS = _set(
    "primary foreign sort sorting partition group grouping groupby join merge surrogate natural "
    "business unique composite candidate row hash range cache public index order lookup dedup "
    "object column col dict map record index target label feature"
)
_KEY, _TOKEN = ("key", "token")
_PERHAPS = _set("auth oauth bearer cookie authcookie signature sig sas dsn jwt pem tokens")
# Behind `key`, where it is the key itself.
_MATERIAL = _set("value data material pem b64 base64 bytes hex")
# A name that ends like this is about a secret: `password_length`, `token_column`, `auth_url`.
_ABOUT = _set(
    "column columns col cols name names file path dir folder url uri endpoint host length len size "
    "count counts limit type types kind policy enabled required expiry expires ttl lifetime "
    "timeout method provider algorithm index dim budget embedding embeddings field level version "
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


@lru_cache(maxsize=4096)
def kind_of(name: str) -> Kind:
    """Return what a name says of its value; one with dots is that of an entry in an entry."""
    kinds = {_kind_of_words(_words(part)) for part in name.split(".")}
    return next((kind for kind in _KINDS if kind in kinds), "")


_KINDS: tuple[Kind, ...] = ("secret", "perhaps", "column")


def ends_as_secret(name: str) -> bool:
    """Return whether the last word of a name is the secret's: `token`, not `token_sort_by`."""
    words = _words(name.rpartition(".")[2])
    return bool(words) and (words[-1].removesuffix("s") == _KEY or _is_secret(words[-1]))


def _words(name: str) -> list[str]:
    parts = _WORDS.split(unicodedata.normalize("NFKC", name))
    return [word for part in parts if (word := part.strip("0123456789").casefold())]


def _is_secret(word: str) -> bool:
    plural = word != "tokens"  # These may be a text's.
    found = word.endswith(_SECRET) or (plural and word.removesuffix("s").endswith(_SECRET))
    return (found and word != "oldpwd") or any(part in word for part in _SECRET_IN)


def _kind_of_words(words: list[str]) -> Kind:
    if not words or words[-1] in _ABOUT:
        return ""
    kinds = {
        _kind_of_word(before, word, after)
        for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False)
    }
    return next((kind for kind in _KINDS if kind in kinds), "")


def _kind_of_word(before: str, word: str, after: str) -> Kind:
    single = word.removesuffix("s")
    if single.endswith(_TOKEN):
        glued = single.removesuffix(_TOKEN) or before
        if glued in _BEFORE_TOKEN or after in _AFTER_TOKEN:
            return ""
    if single.endswith(_KEY):
        if (single.removesuffix(_KEY) or before) in _OF_KEYS:
            return "secret"
        is_key = single == _KEY and before not in _OF_ROWS
        return "column" if is_key and (not after or after in _MATERIAL) else ""
    if _is_secret(word) or before + word in _SECRET_TWO or (before and before + single in _SECRET):
        return "secret"
    return "perhaps" if word in _PERHAPS or single in _PERHAPS else ""


# --- Values, for names that may be a column's ---

# Here and in `texts` a pattern is compiled when it is first needed: every command imports them.
# Words as columns, files and options have them: `customer_id`, `Line 2`, `data/01_raw/a.csv`.
_WORD = r"(?:[^\W\d_][^\W\d_A-Z]{0,24}(?:[A-Z][^\W\d_A-Z]{1,24}){0,5}[A-Z]{0,4}\d{0,4}|\d{1,4})"
_ORDINARY = rf"[-._/:@ ]*{_WORD}(?:[-._/:@ ]+{_WORD})*[-._/:@ ]*"
_UPPER = r"[A-Z]{1,24}\d{0,4}(?:[-._/:@ ]+(?:[A-Z]{1,24}\d{0,4}|\d{1,4}))*"
# Also a file's name, and a colour's number.
_NO_SECRET = r"[\d\s.,:/+-]*|#[\da-fA-F]{3,8}|[\w./ -]+/[\w. -]+\.[a-zA-Z]\w{1,7}"
_ONE_WORD = r"[\w+/=.~%:@!#$-]+"
_SHORTEST = 6


def looks_secret(value: str, upper: bool = True) -> bool:
    """Return whether a value may be a secret: no number, no column, no word of a few letters.

    `upper` says what a word in capitals is: `CUSTOMER` may be a column of a database.
    """
    value = value.strip()
    if len(value) < _SHORTEST or re.fullmatch(_NO_SECRET, value):
        return False
    if value.startswith("eyJ"):  # A JSON Web Token.
        return True
    if re.fullmatch(_ORDINARY, value) or (not upper and re.fullmatch(_UPPER, value)):
        return False
    if re.fullmatch(_ONE_WORD, value) or re.match(
        r"(?i)(?:bearer|basic|token|digest) |-----", value
    ):
        return True
    return "=" in value and "(" not in value
