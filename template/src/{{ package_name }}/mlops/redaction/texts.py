"""Texts: where in them a secret is by its place: in an address, or behind its name."""

import re
from collections.abc import Iterator

from .names import kind_of, looks_secret

# Until a space, or a quote that ends what is quoted.
_IN_ADDRESS = r"""(?:[^\s"'`<>]|["'`](?![\s,;:)\]}]|$))"""
_ADDRESS = rf"(?<![A-Za-z\d+.-])([A-Za-z][A-Za-z\d+.-]*)://({_IN_ADDRESS}*@{_IN_ADDRESS}*)"
# `host:5432/…` of these is not told from `user:5432/…@host` by the port.
_DATABASES = (
    r"(?i)postgres|mysql|maria|mongo|redis|amqp|mssql|oracle|snowflake|clickhouse|cockroach"
    r"|ldap|ftp"
)
_HOST = r"(?:\[[\da-fA-F:.]+\]|localhost|[\w-]+(?:\.[\w-]+)+|[\w.-]+(?=:\d))(?::\d+)?$"
_QUERY = r"[?&][\w.-]+="
_ORACLE = r"(?<=:thin:)[^\s@/]+/\S+(?=@)"

_NAME = r"[^\W\d][\w.$-]*"
_SCHEME = r"(?i:(?:bearer|basic|token|digest|apikey)\s+)?"
# Values are looked ahead for: one may hold names and values as well.
# `name=value` of queries, connection strings, options and assignments.
_EQUALS = (
    rf"(?P<before>[?&;]\s*)?(?<![\w.$%-])(?:--)?(?P<name>{_NAME})[ \t]?(?<![=!<>])=(?!=)>?[ \t]?"
    rf"(?=(?P<value>\{{(?:[^}}]|\}}\}})+\}}|\"(?:[^\"\\\n]|\\.)*\"?|'(?:[^'\\\n]|\\.)*'?"
    rf"|{_SCHEME}(?:[^\s;&,\"']|,(?![\w.-]+[=:])|(?<=\w)[\"'](?=\w))+))"
)
# Up to the next semicolon, after one.
_SEMICOLONS = rf"(?<=;)\s*(?P<name>{_NAME})\s?=\s?(?=(?P<value>[^\s;\"'{{][^\s;\"']*))"
# `'name': 'value'` of dictionaries and JSON, also of JSON in JSON.
_QUOTED = (
    rf"(?s)(?P<q>\\*[\"'])(?P<name>{_NAME})(?P=q)\s*:\s*b?"
    r"(?=(?P<r>\\*[\"'])(?P<value>(?:(?!(?P=r))(?:\\.|[^\\]))*)|(?P<number>\d{6,}))"
)
# `name: value` of YAML, headers and prose.
_COLON = rf"(?<![\w.$%-])(?P<name>{_NAME})[\"']?:[ \t]+(?=(?P<value>{_SCHEME}[^\s,;\"']+))"
# `--name value`, and as a list of arguments shows it.
_OPTION = rf"--(?P<name>{_NAME})[\"']?,?\s+[\"']?(?=(?P<value>[^\s,\"'-][^\s\"']*))"
# `curl -u name:value`.
_USER = r"(?<![\w-])(?:-u|--(?:proxy-)?user)(?:=|[\"']?,?\s+)[\"']?[^\s:\"',]+:(?P<value>[^\s\"']+)"
_HEADER = r"\b(?:Bearer|Basic)\s+(?P<value>[\w.~+/=-]{6,})"
# What stands where a value will be, or is masked.
_PLACEHOLDER = r"""(?ix)
    None|null|true|false|\*+ | %\(?\w*\)?s? | \$\{?[\w.:,\s]*\}? | \{\{?[\w.\s]*\}?\}? | <[^<>]*>
    | \[[\w.\s]*\] | \?+ | \.{3} | :\w*"""
# What computes the value: `os.environ["TOKEN"]`.
_CALL = r"\w[\w.]*[(\[].*"
_PASSWORD = r"(?i)pass(?:word|wd|phrase|code)|pwd|kennwort|passwort"


def secrets_in(text: str) -> list[tuple[int, int]]:
    """Find where secrets are in a text, as spans in their order, which do not overlap."""
    spans = [*_addresses(text)] if "://" in text else []
    if ":thin:" in text:
        spans += [found.span() for found in re.finditer(_ORACLE, text)]
    if "=" in text:
        spans += _pairs(text, _EQUALS, _SEMICOLONS)
    if ":" in text:
        spans += _pairs(text, _QUOTED, _COLON)
    if "--" in text:
        spans += _pairs(text, _OPTION)
    for pattern, sign in ((_HEADER, "asic "), (_HEADER, "earer "), (_USER, "-u")):
        if sign in text:
            spans += [each.span(1) for each in re.finditer(pattern, text) if looks_secret(each[1])]
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    """Find user and password of addresses; a password may hold what ends other parts of one."""
    for found in re.finditer(_ADDRESS, text):
        rest, start = found[2], found.start(2)
        # A query is none of the host's, unless the only `@` is behind its beginning.
        query = re.search(_QUERY, rest)
        if query and "@" in rest[: query.start()]:
            rest = rest[: query.start()]
        authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
        password = authority.partition(":")[2]
        end = authority.rfind("@")
        if end < 0 and not password:
            continue
        is_database = re.search(_DATABASES, found[1])
        if end < 0 and password.isdigit() and (not is_database or query):
            continue  # A port, and an `@` in the path.
        host = authority[end + 1 :]
        if end < 0 or (":" in authority and (is_database or not re.match(_HOST, host))):
            end = rest.rfind("@")
        if end > 0:
            yield start, start + end


def _pairs(text: str, *patterns: str) -> Iterator[tuple[int, int]]:
    for pattern in patterns:
        for found in re.finditer(pattern, text):
            kind = kind_of(found["name"])
            if not kind:
                continue
            groups = found.groupdict()
            group = "number" if groups.get("number") else "value"
            start, end = found.span(group)
            value = found[group]
            if pattern in (_EQUALS, _SEMICOLONS) and value[0] in "\"'{" and value[-1] in "\"'}":
                is_odbc = (
                    text[end : end + 1] == ";" or text[found.start() - 1 : found.start()] == ";"
                )
                if value[0] != "{" or is_odbc:
                    start, end, value = start + 1, end - 1, value[1:-1]
            else:
                kept = value.rstrip(")]}>.,:")
                end, value = end - (len(value) - len(kept)), kept
            in_query = bool(groups.get("before")) or pattern is _SEMICOLONS
            if value and _is_told(found["name"], kind, value, pattern, in_query):
                yield start, end


def _is_told(name: str, kind: str, value: str, pattern: str, in_query: bool) -> bool:
    """Return whether what is behind a name is the secret, and no word about it."""
    if re.fullmatch(_PLACEHOLDER, value):
        return False
    if kind != "secret" or pattern in (_COLON, _OPTION):
        return looks_secret(value) or (kind == "secret" and value.isdigit() and len(value) > 5)
    if not in_query and re.fullmatch(_CALL, value):
        return False
    if in_query or re.search(_PASSWORD, name):
        return True
    return len(value) > 5 and not (value.isalpha() and value.islower())
