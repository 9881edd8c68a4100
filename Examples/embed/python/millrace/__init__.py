"""Millrace in Python: workflows whose handlers are Python functions, by libmillrace.so and ctypes.

    with Engine() as engine:
        engine.register("greet", lambda task: {"hello": task.input["name"]})
        workflow = engine.prepare(text)
        print(workflow.run({"name": "you"}))

The library is the one that MILLRACE_LIBRARY names, else the one in this package, else the one that the loader finds.
"""

from __future__ import annotations

import ctypes
import json
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from . import _c

__all__ = ["Engine", "Failure", "Message", "MillraceError", "Run", "RunFailed", "Subscription", "Task", "Workflow", "version"]

JSONValue = Any
FOREVER = 2**64 - 1
RUN_STATUS = ("CREATED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED")


def version() -> str:
    """Of the library, as MAJOR.MINOR.PATCH."""
    text: bytes = _c.library.millrace_version()
    return text.decode()


class MillraceError(Exception):
    """What a call of the library refused: `code` as "MILLRACE_FULL", and why."""

    def __init__(self, number: int, message: str) -> None:
        self.code: str = _c.library.millrace_code_name(number).decode()
        super().__init__(f"{self.code}: {message}")


class RunFailed(Exception):
    """A run that did not complete; `run` can be asked for its record."""

    def __init__(self, run: Run, status: str) -> None:
        self.run = run
        self.status = status
        super().__init__(f"run {run.id} is {status}")


class Failure(Exception):
    """Raised by a handler to say how its attempt failed: `kind` is what retry policies match."""

    def __init__(self, kind: str, message: str = "", *, retryable: bool = True) -> None:
        super().__init__(message)
        self.kind = kind
        self.retryable = retryable


def _call(function: Any, *arguments: Any) -> None:
    error = _c.Error(size=ctypes.sizeof(_c.Error))
    code = function(*arguments, ctypes.byref(error))
    if code != 0:
        raise MillraceError(code, error.message.decode())


def _taken(function: Any, *arguments: Any) -> tuple[bytes, int]:
    """Bytes that the library made, copied and given back, and their content type."""
    given = _c.Bytes(size=ctypes.sizeof(_c.Bytes))
    _call(function, *arguments, ctypes.byref(given))
    try:
        return ctypes.string_at(given.data, given.length), given.content_type
    finally:
        _c.library.millrace_bytes_free(ctypes.byref(given))


@dataclass(frozen=True)
class Message:
    """What a message says of itself, and how it came. None: not said."""

    queue: str
    exchange: str
    key: str
    id: str | None
    content_type: str | None
    correlation_id: str | None
    reply_to: str | None
    type: str | None
    tenant: str | None
    priority: int
    timestamp: int
    acquired: int
    failed: int
    headers: dict[str, str | None]


class Task:
    """One attempt, for as long as its handler runs."""

    def __init__(self, call: _c.Call) -> None:
        self._call = call
        self._host = call.host.contents
        self.id: str = call.task_id.decode()
        self.key: str = call.task_key.decode()
        self.attempt: int = call.attempt_number

    @property
    def cancelled(self) -> bool:
        """Whether the attempt should stop."""
        return bool(self._host.cancelled(self._call.attempt))

    @property
    def message(self) -> Message | None:
        """What the message that is handled says; None: this is no message, but a task of a workflow."""
        table = self._host.extension(self._call.host, _c.DELIVERY)
        deliveries = ctypes.cast(table, ctypes.POINTER(_c.Deliveries)).contents
        found = _c.Delivery(size=ctypes.sizeof(_c.Delivery))
        if deliveries.read(self._call.attempt, ctypes.byref(found)) != 0:
            return None
        headers: dict[str, str | None] = {}
        name, value = ctypes.c_char_p(), ctypes.c_char_p()
        for index in range(found.header_count):
            deliveries.header(self._call.attempt, index, ctypes.byref(name), ctypes.byref(value))
            headers[(name.value or b"").decode()] = _text(value.value)
        texts = {field: _text(getattr(found, field)) for field in ("id", "content_type", "correlation_id", "reply_to", "type", "tenant")}
        return Message(
            queue=found.queue.decode(), exchange=found.exchange.decode(), key=found.key.decode(), priority=found.priority, timestamp=found.timestamp,
            acquired=found.acquired, failed=found.failed, headers=headers, **texts)

    @property
    def input(self) -> JSONValue:
        """The definition's input; of a message its payload."""
        return self._read(0)

    @property
    def inputs(self) -> list[JSONValue]:
        """The outputs of the dependencies, in the order of the definition."""
        return [self._read(index) for index in range(1, self._host.input_count(self._call.attempt))]

    def _read(self, index: int) -> JSONValue:
        value = _c.Input(size=ctypes.sizeof(_c.Input))
        if self._host.input(self._call.attempt, index, ctypes.byref(value)) != 0:
            return None
        data = ctypes.string_at(value.bytes, value.payload.length)
        return _value(data, value.payload.content_type)


def _text(text: bytes | None) -> str | None:
    return None if text is None else text.decode()


def _value(data: bytes, content_type: int) -> JSONValue:
    if content_type == _c.JSON:
        return json.loads(data) if data else None
    return data.decode() if content_type == _c.TEXT else data


Handler = Callable[[Task], JSONValue]


def _trampoline(function: Handler) -> Any:
    def run(_: Any, call: Any, outcome: Any) -> int:
        result = outcome.contents
        try:
            value = function(Task(call.contents))
            data, kind = (value, _c.BYTES) if isinstance(value, bytes) else (json.dumps(value).encode(), _c.JSON)
            room = call.contents.host.contents.claim(call.contents.attempt, len(data), kind, ctypes.byref(result.output))
            if room is None:
                return _fail(result, "memory", f"there is no room for {len(data)} bytes", True)
            ctypes.memmove(room, data, len(data))
            return _c.DONE
        except Failure as failure:
            return _fail(result, failure.kind, str(failure), failure.retryable)
        except BaseException as error:  # nothing may be raised into the library
            return _fail(result, type(error).__name__, traceback.format_exc(), True)

    return _c.RUN(run)


def _fail(outcome: _c.Outcome, kind: str, message: str, retryable: bool) -> int:
    text = message.encode()[: outcome.message_capacity - 1]
    ctypes.memmove(outcome.message, text, len(text))
    outcome.message_length = len(text)
    outcome.error_type = kind.encode()[:63]
    return _c.RETRY if retryable else _c.FAILED


class Run:
    """A run that was started."""

    def __init__(self, handle: _c.Run) -> None:
        self._handle = handle

    def __del__(self) -> None:
        _c.library.millrace_run_release(self._handle, None)

    @property
    def id(self) -> str:
        text = ctypes.create_string_buffer(37)
        _call(_c.library.millrace_run_id, self._handle, text)
        return text.value.decode()

    @property
    def status(self) -> str:
        number = ctypes.c_uint32()
        _call(_c.library.millrace_run_status, self._handle, ctypes.byref(number))
        return RUN_STATUS[number.value]

    def wait(self, seconds: float | None = None) -> str:
        """The status at its end. Raises MillraceError (MILLRACE_TIMED_OUT) after so many seconds."""
        number = ctypes.c_uint32()
        timeout = FOREVER if seconds is None else max(0, int(seconds * 1e9))
        _call(_c.library.millrace_run_wait, self._handle, timeout, ctypes.byref(number))
        return RUN_STATUS[number.value]

    def cancel(self, reason: str | None = None) -> None:
        _call(_c.library.millrace_run_cancel, self._handle, None if reason is None else reason.encode())

    def output(self, task: str | None = None) -> JSONValue:
        """The output of a completed task; None: of the definition's `result`."""
        return _value(*_taken(_c.library.millrace_run_output, self._handle, None if task is None else task.encode()))

    @property
    def record(self) -> dict[str, JSONValue]:
        """Everything that is known of it."""
        record: dict[str, JSONValue] = json.loads(_taken(_c.library.millrace_run_record, self._handle)[0])
        return record


class Workflow:
    """A definition that was read and checked."""

    def __init__(self, handle: _c.Workflow) -> None:
        self._handle = handle

    def __del__(self) -> None:
        _c.library.millrace_workflow_release(self._handle, None)

    def start(self, parameters: dict[str, JSONValue] | None = None, tenant: str | None = None) -> Run:
        start = _c.Start(size=ctypes.sizeof(_c.Start))
        if parameters is not None:
            text = json.dumps(parameters).encode()
            start.parameters, start.parameters_length = text, len(text)
        if tenant is not None:
            start.tenant = tenant.encode()
        run = _c.Run()
        _call(_c.library.millrace_run_start, self._handle, ctypes.byref(start), ctypes.byref(run))
        return Run(run)

    def run(self, parameters: dict[str, JSONValue] | None = None) -> JSONValue:
        """Starts a run, waits for it and gives its result. Raises RunFailed."""
        run = self.start(parameters)
        status = run.wait()
        if status != "COMPLETED":
            raise RunFailed(run, status)
        return run.output()


def _message(queue: str, value: JSONValue, headers: dict[str, str] | None) -> _c.Message:
    """It keeps what it points to."""
    data = json.dumps(value).encode()
    message = _c.Message(
        size=ctypes.sizeof(_c.Message), content_type=_c.JSON, key=queue.encode(), payload=ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p),
        length=len(data))
    if headers:
        texts = [text.encode() for pair in headers.items() for text in pair]
        message.headers = (ctypes.c_char_p * len(texts))(*texts)
        message.header_count = len(headers)
    return message


class Subscription:
    """Has the messages of a queue handled until it is closed."""

    def __init__(self, handle: _c.Subscription) -> None:
        self._handle = handle

    def close(self) -> None:
        _call(_c.library.millrace_unsubscribe, self._handle)


class Engine:
    """The engine. Handlers are called by its threads, one after the other as Python has one lock."""

    def __init__(
        self, *, threads: int = 0, slots: int = 0, data: str | None = None, plugins: list[str] | None = None, tenants: dict[str, int] | None = None
    ) -> None:
        self._handle = _c.Engine()
        self._kept: list[Any] = []
        configuration = _c.Configuration(size=ctypes.sizeof(_c.Configuration), threads=threads, slots=slots)
        if data is not None:
            configuration.data = data.encode()
        if plugins is not None:
            configuration.plugins = ":".join(plugins).encode()
        if tenants is not None:
            configuration.tenants = json.dumps(tenants).encode()
        _call(_c.library.millrace_engine_create, ctypes.byref(configuration), ctypes.byref(self._handle))

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Cancels what goes on, and waits for handlers that run."""
        _call(_c.library.millrace_engine_destroy, self._handle)

    def register(self, name: str, function: Handler, *, blocking: bool = False, concurrency: int = 0) -> None:
        handler = self._handler(name, function, blocking)
        handler.concurrency = concurrency
        _call(_c.library.millrace_engine_register, self._handle, ctypes.byref(handler))

    def _handler(self, name: str, function: Handler, blocking: bool) -> _c.Handler:
        run = _trampoline(function)
        self._kept.append(run)  # the library calls it until the engine is destroyed
        return _c.Handler(size=ctypes.sizeof(_c.Handler), flags=_c.BLOCKING if blocking else 0, name=name.encode(), run=run)

    def prepare(self, text: str, name: str = "workflow") -> Workflow:
        """Reads YAML or JSON. Raises MillraceError with every fault."""
        data = text.encode()
        workflow = _c.Workflow()
        _call(_c.library.millrace_workflow_prepare, self._handle, name.encode(), data, len(data), ctypes.byref(workflow))
        return Workflow(workflow)

    def declare(self, queue: str, *, max_messages: int = 0) -> None:
        wish = _c.Queue(size=ctypes.sizeof(_c.Queue), flags=_c.QUEUE_REJECTS if max_messages else 0, max_messages=max_messages)
        _call(_c.library.millrace_queue_declare, self._handle, queue.encode(), ctypes.byref(wish))

    def publish(self, queue: str, value: JSONValue, *, reply_to: str | None = None, headers: dict[str, str] | None = None) -> int:
        """To how many queues it came."""
        message = _message(queue, value, headers)
        if reply_to is not None:
            message.reply_to = reply_to.encode()
        queues = ctypes.c_uint32()
        _call(_c.library.millrace_publish, self._handle, ctypes.byref(message), ctypes.byref(queues))
        return queues.value

    def request(self, queue: str, value: JSONValue, *, timeout: float = 30, headers: dict[str, str] | None = None) -> JSONValue:
        """Publishes, waits `timeout` seconds at most for the answer, and gives it. Raises MillraceError: MILLRACE_TIMED_OUT, or _REFUSED with why."""
        message = _message(queue, value, headers)
        return _value(*_taken(_c.library.millrace_engine_request, self._handle, ctypes.byref(message), max(1, int(timeout * 1e9))))

    def subscribe(self, queue: str, function: Handler, *, blocking: bool = False) -> Subscription:
        handler = self._handler("python", function, blocking)
        subscription = _c.Subscription()
        _call(_c.library.millrace_subscribe, self._handle, queue.encode(), ctypes.byref(handler), None, ctypes.byref(subscription))
        return Subscription(subscription)

    @property
    def metrics(self) -> dict[str, int]:
        figures = _c.Metrics(size=ctypes.sizeof(_c.Metrics))
        _call(_c.library.millrace_engine_metrics, self._handle, ctypes.byref(figures))
        return {name: getattr(figures, name) for name, *_ in _c.Metrics._fields_ if name != "size"}
