"""Replies in the form that OpenAI's clients read: JSON in ASCII, errors as {"error": ...}."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from starlette.responses import Response

from tscli.errors import LibraryError, ResourceError, UsageError, WindowFull
from tscli.serve.engine_thread import QueueFull, ShuttingDown

CLIENT_GONE = 499  # as nginx says it; nobody reads it
TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
# The first that fits.
STATUSES: dict[type[BaseException], tuple[int, str | None]] = {
    QueueFull: (429, "rate_limit_exceeded"),
    ShuttingDown: (503, None),
    ResourceError: (503, None),
    MemoryError: (503, None),
    WindowFull: (400, "context_length_exceeded"),
    UsageError: (400, None),
    LibraryError: (503, "library_unavailable"),
}


class BadRequest(UsageError):
    """A request that cannot be answered; param: which field is wrong; code: OpenAI's word for it, if there is one."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.param, self.code, self.status = param, code, status


def without_paths(said: str, name: str, folder: Path) -> str:
    """What is said of a library, which is called by its name instead of by where it lies."""
    return said.replace(str(folder), name)


def model_label(model: str) -> str:
    """A model's name; of one that was given by its path, the last part of that."""
    return Path(model).name if Path(model).is_absolute() else model


def json_text(content: Any) -> str:
    """In ASCII: a file name may hold what is no text, and nothing that a document holds is markup anywhere."""
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def json_reply(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A reply of JSON."""
    return Response(json_text(content), status, headers, media_type="application/json")


def error_content(status: int, message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """An error in OpenAI's form."""
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_reply(status: int, message: str, param: str | None = None, code: str | None = None, **headers: str) -> Response:
    """A reply of one error; headers by their names with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return json_reply(error_content(status, message, param, code), status, named)


def error_status(error: BaseException) -> tuple[int, str | None]:
    """The status of an error of ours, and OpenAI's code for it."""
    if isinstance(error, BadRequest):
        return error.status, error.code
    return next((found for kind, found in STATUSES.items() if isinstance(error, kind)), (500, None))


def error_message(error: BaseException) -> str:
    """What a client is told; of what nobody foresaw only its kind, since words of it may be of others' questions."""
    return str(error) if error_status(error)[0] != 500 else f"unexpected {type(error).__name__}; the server's log says more"


def reply_of(error: BaseException) -> Response:
    """The reply to a request that failed before anything was sent."""
    status, code = error_status(error)
    headers = {"Retry_After": str(error.seconds)} if isinstance(error, QueueFull) else {}
    return error_reply(status, error_message(error), getattr(error, "param", None), code, **headers)
