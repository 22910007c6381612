"""What is counted while serving, as Prometheus reads it. Holds numbers and nothing of what was asked or answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from threading import Lock

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tscli.answer.statistics import Statistics

BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)  # seconds


class Metrics:
    """Counters; any thread may count."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._tokens: Counter[str] = Counter()
        self._first: Counter[float] = Counter()
        self._first_s, self._firsts = 0.0, 0
        self._answer_s, self._answers = 0.0, 0

    @property
    def mean_answer_s(self) -> float:
        """How long an answer took so far, the waiting included; a second before there is any."""
        return self._answer_s / self._answers if self._answers else 1.0

    def request(self, route: str, status: int) -> None:
        """Count a request that was answered."""
        with self._lock:
            self._requests[route, status] += 1

    def first_token(self, seconds: float) -> None:
        """Count the time from a request's arrival to its first token."""
        with self._lock:
            self._first_s, self._firsts = self._first_s + seconds, self._firsts + 1
            self._first.update(bucket for bucket in BUCKETS if seconds <= bucket)

    def answered(self, statistics: Statistics, seconds: float) -> None:
        """Count an answer's tokens; seconds: since its request arrived."""
        with self._lock:
            self._answer_s, self._answers = self._answer_s + seconds, self._answers + 1
            self._tokens["prompt"] += statistics.prompt_tokens
            self._tokens["generated"] += statistics.generated_tokens
            self._tokens["recomputed"] += statistics.recomputed_tokens

    def text(self, waiting: int, going: int) -> str:
        """All of it in Prometheus' text format."""
        with self._lock:
            rows = [
                "# TYPE tscli_requests_total counter",
                *(
                    f'tscli_requests_total{{route="{route}",status="{status}"}} {count}'
                    for (route, status), count in sorted(self._requests.items())
                ),
                "# TYPE tscli_tokens_total counter",
                *(f'tscli_tokens_total{{kind="{kind}"}} {count}' for kind, count in sorted(self._tokens.items())),
                "# TYPE tscli_answers_total counter",
                f"tscli_answers_total {self._answers}",
                "# TYPE tscli_queue_length gauge",
                f"tscli_queue_length {waiting}",
                "# TYPE tscli_answering gauge",
                f"tscli_answering {going}",
                "# TYPE tscli_first_token_seconds histogram",
                *(f'tscli_first_token_seconds_bucket{{le="{bucket}"}} {self._first[bucket]}' for bucket in BUCKETS),
                f'tscli_first_token_seconds_bucket{{le="+Inf"}} {self._firsts}',
                f"tscli_first_token_seconds_sum {self._first_s:.6f}",
                f"tscli_first_token_seconds_count {self._firsts}",
            ]
        return "\n".join(rows) + "\n"


class CountRequests:
    """Counts requests by route and status. known: paths that are counted by themselves; all others are one."""

    def __init__(self, app: ASGIApp, metrics: Metrics, route_of: Callable[[str], str]) -> None:
        self._app, self._metrics, self._route_of = app, metrics, route_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 499  # where the client left before there was one

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, counted)
        finally:
            self._metrics.request(self._route_of(scope["path"]), status)
