"""Passwords in database addresses, kept out of files, logs and error messages."""

from __future__ import annotations

import re
from urllib.parse import unquote

HIDDEN = "***"

# the user's part ends at the last @ before the path, because a password may hold one unquoted
_IN_USER = re.compile(r"(\w[\w+.-]*://[^\s:/@]*):([^\s]*)@")
_IN_ADDRESS = re.compile(r"\w[\w+.-]*://[^:/@]*:(.*)@", re.DOTALL)
_IN_QUERY = re.compile(r"(?i)\b((?:\w*password|passwd|pwd|sslkey|token)=)([^\s&'\"]+)")


def hide_passwords(text: str, address: str | None = None) -> str:
    """``text`` with every password in a database address replaced by ``***``.

    Parameters
    ----------
    address
        An address whose password is hidden wherever it stands, quoted or not: a database's own
        message may repeat it out of its context.

    >>> hide_passwords("--storage postgresql://me:secret@db/studies")
    '--storage postgresql://me:***@db/studies'
    """
    for secret in _passwords(address or ""):
        text = text.replace(secret, HIDDEN)
    text = _IN_USER.sub(rf"\1:{HIDDEN}@", text)
    return _IN_QUERY.sub(rf"\1{HIDDEN}", text)


def _passwords(address: str) -> list[str]:
    # alone, an address may even hold blanks
    found = [match.group(1) for match in _IN_ADDRESS.finditer(address)]
    found += [match.group(2) for match in _IN_QUERY.finditer(address)]
    found += [unquote(secret) for secret in found]
    # the longest first: one may be part of another
    return sorted({secret for secret in found if secret}, key=len, reverse=True)
