"""millrace/millrace.h and millrace/plugin.h as ctypes has them. The sizes are asserted, as in the headers."""

from __future__ import annotations

import ctypes
import os
import pathlib
from ctypes import CFUNCTYPE, POINTER, Structure, c_char, c_char_p, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p

EMBEDDING_VERSION = 0
BYTES, JSON, TEXT = 0, 1, 2
DONE, PENDING, RETRY, FAILED, CANCELLED = range(5)
BLOCKING = 1
QUEUE_DURABLE, QUEUE_REJECTS = 1, 2


class Error(Structure):
    _fields_ = [("size", c_uint32), ("code", c_int32), ("message", c_char * 4096)]


class Engine(Structure):
    _fields_ = [("id", c_uint64)]


class Workflow(Structure):
    _fields_ = [("id", c_uint64)]


class Run(Structure):
    _fields_ = [("id", c_uint64)]


class Subscription(Structure):
    _fields_ = [("id", c_uint64)]


class Bytes(Structure):
    _fields_ = [("size", c_uint32), ("content_type", c_uint32), ("data", c_void_p), ("length", c_uint64)]


class Configuration(Structure):
    _fields_ = [
        ("size", c_uint32), ("version", c_uint32), ("slots", c_uint32), ("threads", c_uint32), ("blocking_threads", c_uint32),
        ("capacity", c_uint32), ("data", c_char_p), ("plugins", c_char_p), ("tenants", c_char_p), ("settings", c_char_p),
        ("context", c_void_p), ("log", c_void_p), ("event", c_void_p), ("loop", c_void_p), ("uv_version", c_void_p),
        ("uv_header", c_uint32), ("reserved", c_uint32),
    ]


class Metrics(Structure):
    _fields_ = [("size", c_uint32), ("threads", c_uint32)] + [
        (name, c_uint64)
        for name in (
            "slots", "slots_in_use", "tasks", "runs", "runs_waiting", "runs_started", "runs_completed", "runs_failed", "runs_cancelled",
            "published", "refused", "replies_lost")
    ]


class Start(Structure):
    _fields_ = [
        ("size", c_uint32), ("reserved", c_uint32), ("parameters", c_char_p), ("parameters_length", c_size_t), ("tenant", c_char_p),
        ("trace", c_char_p), ("context", c_void_p), ("finished", c_void_p),
    ]


class Queue(Structure):
    _fields_ = [
        ("size", c_uint32), ("flags", c_uint32), ("max_messages", c_uint64), ("max_bytes", c_uint64), ("time_to_live", c_uint64),
        ("retry_delay", c_uint64), ("lease", c_uint64), ("delivery_limit", c_uint32), ("reserved", c_uint32), ("dead_letters", c_char_p),
    ]


class Message(Structure):
    _fields_ = [
        ("size", c_uint32), ("content_type", c_uint32), ("exchange", c_char_p), ("key", c_char_p), ("payload", c_void_p),
        ("length", c_uint64), ("delay", c_uint64), ("time_to_live", c_uint64), ("priority", c_uint32), ("flags", c_uint32),
        ("id", c_char_p), ("correlation", c_char_p), ("reply_to", c_char_p), ("tenant", c_char_p), ("headers", POINTER(c_char_p)),
        ("header_count", c_uint32), ("reserved", c_uint32),
    ]


class Payload(Structure):
    _fields_ = [("offset", c_uint64), ("length", c_uint64), ("arena", c_uint32), ("content_type", c_uint32)]


class Outcome(Structure):
    _fields_ = [
        ("size", c_uint32), ("status", c_uint32), ("retry_after", c_uint64), ("output", Payload), ("details", Payload),
        ("message_capacity", c_uint32), ("message_length", c_uint32), ("message", c_void_p), ("error_type", c_char * 64),
    ]


class Input(Structure):
    _fields_ = [("size", c_uint32), ("reserved", c_uint32), ("payload", Payload), ("bytes", c_void_p), ("name", c_char_p)]


class Delivery(Structure):
    _fields_ = [
        ("size", c_uint32), ("priority", c_uint32), ("queue", c_char_p), ("exchange", c_char_p), ("key", c_char_p), ("id", c_char_p),
        ("content_type", c_char_p), ("correlation_id", c_char_p), ("reply_to", c_char_p), ("type", c_char_p), ("tenant", c_char_p),
        ("timestamp", c_int64), ("acquired", c_uint32), ("failed", c_uint32), ("header_count", c_uint32), ("reserved", c_uint32),
    ]


DELIVERY = b"millrace.delivery/1"


class Deliveries(Structure):
    _fields_ = [
        ("size", c_uint32), ("reserved", c_uint32), ("read", CFUNCTYPE(c_int32, c_void_p, POINTER(Delivery))),
        ("header", CFUNCTYPE(c_int32, c_void_p, c_uint32, POINTER(c_char_p), POINTER(c_char_p))),
    ]


class Host(Structure):
    _fields_ = [
        ("size", c_uint32), ("abi_version", c_uint32), ("name", c_char_p), ("version", c_char_p), ("context", c_void_p),
        ("now", c_void_p), ("setting", c_void_p), ("log", c_void_p),
        ("input_count", CFUNCTYPE(c_uint32, c_void_p)),
        ("input", CFUNCTYPE(c_int32, c_void_p, c_uint32, POINTER(Input))),
        ("claim", CFUNCTYPE(c_void_p, c_void_p, c_uint64, c_uint32, POINTER(Payload))),
        ("cancelled", CFUNCTYPE(c_int32, c_void_p)),
        ("heartbeat", c_void_p), ("token", c_void_p), ("complete", c_void_p), ("complete_after", c_void_p),
        ("extension", CFUNCTYPE(c_void_p, c_void_p, c_char_p)),
    ]


class Call(Structure):
    _fields_ = [
        ("size", c_uint32), ("attempt_number", c_uint32), ("attempt", c_void_p), ("host", POINTER(Host)), ("task_key", c_char_p),
        ("task_id", c_char_p), ("deadline", c_uint64), ("reserved", c_uint64),
    ]


RUN = CFUNCTYPE(c_uint32, c_void_p, POINTER(Call), POINTER(Outcome))


class Handler(Structure):
    _fields_ = [
        ("size", c_uint32), ("flags", c_uint32), ("name", c_char_p), ("summary", c_char_p), ("input_schema", c_char_p), ("output_schema", c_char_p),
        ("context", c_void_p), ("concurrency", c_uint32), ("reserved", c_uint32), ("run", RUN),
    ]


for _type, _size in (
    (Error, 4104), (Bytes, 24), (Configuration, 104), (Metrics, 104), (Start, 56), (Queue, 64), (Message, 112), (Payload, 24), (Outcome, 144),
    (Input, 48), (Call, 56), (Handler, 64), (Host, 128), (Delivery, 104), (Deliveries, 24),
):
    assert ctypes.sizeof(_type) == _size, f"{_type.__name__} has {ctypes.sizeof(_type)} bytes, and {_size} in the header"

_SONAME = "libmillrace.so.0"


def _load() -> ctypes.CDLL:
    """The library that MILLRACE_LIBRARY names, else the one beside this file, as a wheel has it, else the one that the loader finds."""
    beside = pathlib.Path(__file__).with_name(_SONAME)
    path = os.environ.get("MILLRACE_LIBRARY") or (str(beside) if beside.exists() else _SONAME)
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(
            f"{error}: install the wheel of `make wheel`, which has the library inside, or set MILLRACE_LIBRARY to the file, which is "
            f"$(pkg-config --variable=libdir millrace)/{_SONAME} after `make install`") from error


library = _load()

_ERROR = POINTER(Error)
for _name, _arguments in {
    "engine_create": (POINTER(Configuration), POINTER(Engine)),
    "engine_drain": (Engine, c_uint64),
    "engine_destroy": (Engine,),
    "engine_metrics": (Engine, POINTER(Metrics)),
    "engine_register": (Engine, POINTER(Handler)),
    "engine_load": (Engine, c_char_p),
    "workflow_prepare": (Engine, c_char_p, c_char_p, c_size_t, POINTER(Workflow)),
    "workflow_release": (Workflow,),
    "run_start": (Workflow, POINTER(Start), POINTER(Run)),
    "run_wait": (Run, c_uint64, POINTER(c_uint32)),
    "run_status": (Run, POINTER(c_uint32)),
    "run_id": (Run, c_char_p),
    "run_cancel": (Run, c_char_p),
    "run_output": (Run, c_char_p, POINTER(Bytes)),
    "run_signal": (Run, c_char_p, c_char_p, c_size_t),
    "run_record": (Run, POINTER(Bytes)),
    "run_release": (Run,),
    "queue_declare": (Engine, c_char_p, POINTER(Queue)),
    "engine_request": (Engine, POINTER(Message), c_uint64, POINTER(Bytes)),
    "publish": (Engine, POINTER(Message), POINTER(c_uint32)),
    "subscribe": (Engine, c_char_p, POINTER(Handler), c_void_p, POINTER(Subscription)),
    "unsubscribe": (Subscription,),
}.items():
    _function = getattr(library, "millrace_" + _name)
    _function.restype = c_int32
    _function.argtypes = [*_arguments, _ERROR]
library.millrace_version.restype = c_char_p
library.millrace_embedding_version.restype = c_uint32
library.millrace_code_name.restype = c_char_p
library.millrace_code_name.argtypes = [c_int32]
library.millrace_bytes_free.restype = None
library.millrace_bytes_free.argtypes = [POINTER(Bytes)]

if library.millrace_embedding_version() != EMBEDDING_VERSION:
    raise ImportError(f"libmillrace.so {library.millrace_version().decode()} has another interface than this package")
