"""The one thread that runs models: all clients' answers are decoded as one batch, and new ones join between steps.

Knows jobs, sessions and the engine's steps; knows no HTTP. A job that fails takes no other with it, unless the step of all did.
"""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition, Thread

from tscli.answer.engine import Request
from tscli.answer.session import Session
from tscli.answer.statistics import Answer
from tscli.answer.stream import Stream
from tscli.errors import TscliError
from tscli.evidence import find_evidence, map_answer
from tscli.memory import give_back_memory
from tscli.serve.job import Done, Failed, Job, Piece, Started
from tscli.serve.metrics import Metrics
from tscli.serve.served_libraries import ServedLibraries
from tscli.serve.stop_text import StopText

GIVEN_BACK_EVERY = 8  # answers
IDLE_S = 30.0  # between looks at what has changed on disk, while nobody asks


class QueueFull(TscliError):
    """So many wait already; seconds: when it is worth another try."""

    def __init__(self, waiting: int, seconds: int) -> None:
        super().__init__(
            f"{waiting} questions are already waiting; ask again in {seconds} s, or start the server with a longer --queue"
        )
        self.seconds = seconds


class ShuttingDown(TscliError):
    """The server ends."""

    def __init__(self) -> None:
        super().__init__("the server is shutting down; ask again when it is back")


class EngineThread:
    """Runs jobs, at most `parallel` at a time; `queue` more may wait. warn: hears of what no client is told."""

    def __init__(
        self,
        served: ServedLibraries,
        metrics: Metrics,
        parallel: int,
        queue: int,
        *,
        remembers: bool,
        warn: Callable[[str], None],
    ) -> None:
        self._served, self._metrics, self._parallel, self._queue = served, metrics, parallel, queue
        self._remembers, self._warn = remembers, warn
        self._waiting = deque[Job]()
        self._going: list[_Going] = []
        self._changed = Condition()
        self._closing = False
        self._answered = 0
        self._until = 0.0  # when what still goes on is ended, once it is closing
        self._thread = Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Begin to run jobs."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether there is somebody to answer."""
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Jobs whose turn has not come."""
        return len(self._waiting)

    @property
    def going(self) -> int:
        """Jobs that are being answered."""
        return len(self._going)

    def submit(self, job: Job) -> None:
        """Queue a job. Raises QueueFull or ShuttingDown at once."""
        with self._changed:
            if self._closing:
                raise ShuttingDown
            if len(self._waiting) >= self._queue + max(0, self._parallel - len(self._going)):
                rounds = 1 + len(self._waiting) / self._parallel
                raise QueueFull(len(self._waiting), max(1, min(60, round(rounds * self._metrics.mean_answer_s))))
            self._waiting.append(job)
            self._changed.notify()

    def leave(self, job: Job) -> None:
        """The client of this job has gone: it is not begun, or ended where it is."""
        with self._changed:
            job.left = True
            if job in self._waiting:
                self._waiting.remove(job)
            self._changed.notify()

    def drain(self, seconds: float) -> None:
        """Take no more jobs and begin none; those that go on have so many seconds to come to their end."""
        with self._changed:
            self._closing, self._until = True, time.perf_counter() + seconds
            waiting, self._waiting = list(self._waiting), deque()
            self._changed.notify()
        for job in waiting:
            job.tell(Failed(ShuttingDown()))

    def close(self, seconds: float = 0.0) -> None:
        """Drain and wait for the thread's end."""
        self.drain(seconds)
        if self._thread.is_alive():
            self._thread.join(seconds + 30)

    def _run(self) -> None:
        while self._turn():
            pass

    def _turn(self) -> bool:
        """Begin the next job and take one step of all; False once it is closing and nothing goes on. A call of its own, so that
        no name holds an answer that has ended while the thread waits."""
        job = self._next()
        if job is None and not self._going:
            self._served.close_changed()
            return not self._closing
        if job is not None:
            self._begin(job)
        self._end_those_that_left()
        for group in self._groups():
            self._step(group)
        return True

    def _next(self) -> Job | None:
        """The job whose turn it is; None where there is none, after a while where nothing goes on."""
        with self._changed:
            if not self._going and not self._waiting and not self._closing:
                self._changed.wait(IDLE_S)
            return self._waiting.popleft() if self._waiting and len(self._going) < self._parallel else None

    def _begin(self, job: Job) -> None:
        try:
            session = self._served.session(job.target)
            stream = session.ask_concurrently(
                job.question, job.earlier, max_new_tokens=job.max_new_tokens, sampling=job.sampling
            )
            going = _Going(job, session, stream)
            going.request.begin()
        except Exception as error:
            self._tell_of(error, [job])
            return
        self._going.append(going)
        job.tell(Started(follows_up=session.template.turn is not None))

    def _end_those_that_left(self) -> None:
        late = self._closing and time.perf_counter() > self._until
        for going in list(self._going):
            if going.job.left or late:
                self._end(going)
                going.job.tell(Failed(ShuttingDown()))

    def _groups(self) -> list[list[_Going]]:
        """Those that one pass of a model can serve."""
        found: dict[int, list[_Going]] = {}
        for going in self._going:
            found.setdefault(id(going.session.decoder), []).append(going)
        return list(found.values())

    def _step(self, group: list[_Going]) -> None:
        of = {going.request: going for going in group}
        try:
            made = group[0].session.engine.step(list(of))
        except Exception as error:
            self._fail(group, error)
            return
        for request, token in made:
            try:
                self._take(of[request], token)
            except Exception as error:
                self._fail([of[request]], error)

    def _take(self, going: _Going, token: int | None) -> None:
        if going not in self._going:  # a text that ends it came with the token before
            return
        if token is not None:
            if not going.stream.token_ids[1:]:
                self._metrics.first_token(time.perf_counter() - going.job.came)
            going.tell_text(going.stream.push(token))
            if not going.stop.found:
                return
        self._finish(going)

    def _finish(self, going: _Going) -> None:
        self._end(going)
        rest = going.stream.finish(cut=going.stop.found)
        going.tell_text(rest)
        if left := going.stop.flush():
            going.job.tell(Piece(left))
        answer = going.stream.answer
        self._metrics.answered(answer.statistics, time.perf_counter() - going.job.came)
        found = find_evidence(going.session, answer)
        going.job.tell(Done(going.session, answer, found, map_answer(going.session, answer), going.stop.found))
        if self._remembers:
            self._remember(going.session, answer)
        self._answered += 1
        if self._answered % GIVEN_BACK_EVERY == 0:
            give_back_memory()

    def _remember(self, session: Session, answer: Answer) -> None:
        try:
            session.remember(answer)
        except OSError as error:
            self._remembers = False
            self._warn(f"questions are no longer recorded: the history cannot be written ({error.strerror})")

    def _fail(self, group: Sequence[_Going], error: Exception) -> None:
        for going in group:
            self._end(going)
        self._tell_of(error, [going.job for going in group])

    def _tell_of(self, error: Exception, jobs: Sequence[Job]) -> None:
        """Those who asked hear of an error; of one that nobody foresaw the log says where it was, but no word of a question."""
        if not isinstance(error, TscliError):
            at = traceback.extract_tb(error.__traceback__)[-1]
            self._warn(f"unexpected {type(error).__name__} at {at.filename}:{at.lineno} in {at.name}")
        for job in jobs:
            job.tell(Failed(error))

    def _end(self, going: _Going) -> None:
        if going in self._going:
            self._going.remove(going)
        going.request.end()


class _Going:
    """A job that is being answered."""

    def __init__(self, job: Job, session: Session, stream: Stream) -> None:
        self.job, self.session, self.stream = job, session, stream
        self.request: Request = stream.begin()
        self.stop = StopText(job.stops)

    def tell_text(self, piece: str) -> None:
        """Hand on what may be shown."""
        if shown := self.stop.push(piece):
            self.job.tell(Piece(shown))
