"""What is run, by whom, and what must be reached. A ratio is larger where ours is better."""
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Column:
    """A program and the work that it is given: the row's, and what stands behind it."""

    name: str
    program: str
    way: str = ""
    work: str = ""  # another row's


OURS = Column("ours", "BrokerBenchmark")
SMALL = Column("ours, 64 B", "BrokerBenchmark", work="msg-1-4")


@dataclass(frozen=True)
class Goal:
    """So many times the best of these columns."""

    against: str
    ratio: float
    columns: list = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    work: str
    unit: str
    columns: list
    goals: list = field(default_factory=list)
    threads: bool = True  # two meet: the ping-pong stands beside it
    on_disk: bool = False


MESSAGES, ROUTES, LATENCY = "messages/s", "routes/s", "ns p50"
SCAN = "scan"  # ours tells it too

GO = Column("Go channel", "go")
CROSSBEAM = Column("crossbeam channel", "crossbeam")
TOKIO = Column("tokio broadcast", "tokio")
ZEROMQ = [Column("ZeroMQ", "zeromq"), Column("ZeroMQ, in place", "zeromq", "/in-place")]
SPIN = Column("Disruptor busy spin", "disruptor", "/spin")
SPIN_BATCH = Column("Disruptor busy spin, batches", "disruptor", "/spin-batch")
YIELD = [Column("Disruptor yielding", "disruptor", "/yield"), Column("Disruptor yielding, batches", "disruptor", "/yield-batch")]
PARK = Column("Disruptor blocking", "disruptor", "/blocking")
PARK_BATCH = Column("Disruptor blocking, batches", "disruptor", "/blocking-batch")
# A message that is 64 messages: no facility of the channel, so no goal is set against it.
BY_HAND = [Column("Go channel, slices by hand", "go", "/slices"), Column("crossbeam channel, vectors by hand", "crossbeam", "/vectors")]
# An idle consumer sleeps.
BLOCKING = [GO, CROSSBEAM, TOKIO, *ZEROMQ, PARK, PARK_BATCH]
ONE_TO_ONE = [*BLOCKING, SPIN, SPIN_BATCH, *BY_HAND]
GO_REFERENCE = Column("Go channel, by reference", "go", "/reference")
CROSSBEAM_REFERENCE = Column("crossbeam channel, by reference", "crossbeam", "/reference")
TOKIO_REFERENCE = Column("tokio broadcast, by reference", "tokio", "/reference")
GO_YIELDS = Column("Go channel, the publisher yields", "go", "/yields")
JETSTREAM = Column("JetStream", "jetstream")
REDIS = [Column("Redis", "redis"), Column("Redis, 50 connections", "redis", "/50")]
RABBITMQ = [Column("RabbitMQ", "rabbitmq"), Column("RabbitMQ, quorum queue", "rabbitmq", "/quorum")]

ROWS = [
    Row("msg-1-1", MESSAGES, ONE_TO_ONE, [Goal("best that blocks", 1.6, BLOCKING)]),
    Row("msg-1-1-1k", MESSAGES, ONE_TO_ONE),
    Row("msg-1-4", MESSAGES, [GO, GO_REFERENCE, CROSSBEAM, CROSSBEAM_REFERENCE, TOKIO, TOKIO_REFERENCE, *ZEROMQ, PARK, PARK_BATCH, *YIELD, SPIN],
        [Goal("crossbeam channel, by reference", 2, [CROSSBEAM_REFERENCE]), Goal("Disruptor", 1, [PARK, PARK_BATCH, *YIELD, SPIN])]),
    Row("msg-64k", MESSAGES, [SMALL, GO, CROSSBEAM, TOKIO, ZEROMQ[0], PARK, *YIELD], [Goal(SMALL.name, 0.9, [SMALL])]),
    Row("latency-spin", LATENCY, [SPIN, CROSSBEAM], [Goal(SPIN.name, 2, [SPIN])]),
    Row("latency-park", LATENCY, [CROSSBEAM, GO, GO_YIELDS, TOKIO, ZEROMQ[0], PARK], [Goal(CROSSBEAM.name, 1, [CROSSBEAM])]),
    Row("topic-cold", ROUTES, [], [Goal(SCAN, 100)], threads=False),
    Row("topic-warm", ROUTES, [], [Goal(SCAN, 1000)], threads=False),
    Row("durable-1000", MESSAGES, [JETSTREAM, *REDIS, *RABBITMQ], [Goal(JETSTREAM.name, 100, [JETSTREAM]), Goal("Redis", 3, REDIS)],
        threads=False, on_disk=True),
]
