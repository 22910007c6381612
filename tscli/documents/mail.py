"""Mails (eml) and saved web pages (mhtml) to text; attachments are named. Runs in the worker process."""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from email.message import EmailMessage, Message

from tscli.documents.charset import decode
from tscli.documents.markup import html_text

HEADERS = ("From", "To", "Cc", "Date", "Subject")
MOST_NESTED = 5  # mails inside of mails


def mail_text(data: bytes) -> tuple[str, tuple[str, ...]]:
    """A mail's headers, body and names of attachments; and a line about what was not read."""
    message = message_from_bytes(data, policy=policy.default)
    left_out: list[str] = []
    lines = _mail(message, left_out, 0)
    return "\n".join(lines), (f"attachments not read: {', '.join(left_out)}",) if left_out else ()


def _mail(message: Message, left_out: list[str], depth: int) -> list[str]:
    lines = [f"{name}: {value}" for name in HEADERS if (value := _header(message, name))]
    body = _body(message)
    text = _text(body) if body is not None else ""
    attached = []
    for part in _attachments(message, body):
        if part.get_content_type() == "message/rfc822" and depth < MOST_NESTED:
            for inner in part.get_payload() if isinstance(part.get_payload(), list) else ():
                attached += ["", "Attached mail:", *_mail(inner, left_out, depth + 1)]  # type: ignore[arg-type]
        elif part.get_content_disposition() == "attachment" or part.get_filename():
            name = " ".join(str(part.get_filename() or f"without a name ({part.get_content_type()})").split())
            attached.append(f"Attachment: {name}")
            left_out.append(name)
        elif part.get_content_maintype() == "text" and not _is_other_form(message, part) and (more := _text(part).strip()):
            text = f"{text.strip()}\n\n{more}"  # mail programs show them one below the other
    return [*lines, "", text.strip(), *(["", *attached] if attached else [])]


def _header(message: Message, name: str) -> str:
    try:
        return " ".join(str(message.get(name, "")).split())
    except Exception:  # the parser of headers raises many kinds on broken ones
        raw = dict(message.raw_items()).get(name, "")
        return " ".join(str(raw).split())


def _body(message: Message) -> Message | None:
    """The part that a mail program shows."""
    try:
        body = message.get_body(("plain", "html")) if isinstance(message, EmailMessage) else None
    except Exception:  # parts that are not what their headers say
        body = None
    if body is not None:
        return body
    texts = [part for part in message.walk() if part.get_content_maintype() == "text"]
    return texts[0] if texts else None


def _is_other_form(message: Message, part: Message) -> bool:
    """Whether a part says again what another one says, as HTML beside plain text."""
    groups = [each for each in message.walk() if each.get_content_type() in ("multipart/alternative", "multipart/related")]
    return any(part is inner for group in groups for inner in group.walk())


def _text(part: Message) -> str:
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    charset = part.get_content_charset() if part.get_param("charset") else None
    if part.get_content_subtype() == "html":
        return html_text(data, charset, titled=False).text
    try:
        text = data.decode(charset) if charset else decode(data).text
    except (LookupError, UnicodeDecodeError, ValueError):  # no such encoding, or not in it
        text = decode(data).text
    return _flowed(text) if str(part.get_param("format", "")).lower() == "flowed" else text


def _flowed(text: str) -> str:
    """Lines that were broken for the way only are one again."""
    text = text.replace("\r\n", "\n")
    return re.sub(r"(?m)^(?!-- $)(.*) \n(?![>\s])", r"\1 ", text)


def _attachments(message: Message, body: Message | None) -> list[Message]:
    found, waiting = [], [message]
    while waiting:
        part = waiting.pop(0)
        if part.get_content_type() == "message/rfc822" and part is not message:
            found.append(part)
        elif part.is_multipart():
            waiting[:0] = [each for each in part.get_payload() if isinstance(each, Message)]
        elif part is not body:
            found.append(part)
    return found
