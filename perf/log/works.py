"""What is run, by whom, and what must be reached. A ratio is larger where ours is better."""
import os
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Column:
    """A program and the work that it is given for the row's: `{n}` is how many events are in flight."""

    name: str
    program: str
    work: str
    kind: str = "peer"


OURS = Column("ours", "LogBenchmark", "{work}", "ours")
LIMIT = Column("limit", "limit", "{work}", "limit")
SYNC = Column("sync", "limit", "sync", "limit")
PREFILLED = Column("limit, prefilled", "limit", "prefilled-{n}", "a buffer filled once")
ROCKSDB = Column("RocksDB", "rocksdb", "{work}")
POSTGRES = Column("PostgreSQL", "postgres", "{work}")
# One caller that hands over all its events in a transaction: no callers of their own, so no goal is set against them.
BATCHES = [
    Column(f"{name}, batches", program, "batch-{n}", "one caller")
    for name, program in (("LMDB", "lmdb"), ("SQLite", "sqlite"), ("RocksDB", "rocksdb"), ("PostgreSQL", "postgres"))
]
SQLITE = Column("SQLite", "sqlite", "{work}")
LMDB = Column("LMDB", "lmdb", "{work}")


@dataclass(frozen=True)
class Goal:
    against: str
    ratio: float


@dataclass(frozen=True)
class Row:
    work: str
    unit: str
    columns: list
    goals: list = field(default_factory=list)
    in_flight: int = 1
    number: int | None = None  # behind the name of the work
    kept: bool = False  # its directory holds what is read, in all rounds
    cold: bool = False  # nothing of it is in memory when a round begins


def _append(n, *goals):
    alone = [SQLITE, LMDB] if n == 1 else BATCHES
    return Row(f"append-{n}", "records/s", [LIMIT, PREFILLED, ROCKSDB, POSTGRES, *alone], list(goals), n)


# A reader who fetches lines by hand, ahead of the cursor.
AHEAD = Column("LMDB, fetched ahead", "lmdb", "replay-ahead", "by hand")
READERS = [LIMIT, LMDB, AHEAD, ROCKSDB, SQLITE]
SNAPSHOT_TAIL = 100  # events behind the snapshot, of the 10,000 of the stream
REPLAYED = int(os.environ.get("RECORDS", "1000000"))
RECOVERED = 1024  # MiB
RECOVERY = 10.0  # seconds for these
# The open loop runs at this share of what the limit acknowledges with so many in flight.
OPEN_SHARE, OPEN_OF = 0.5, "append-64"
SYNCS = 3  # as long as so many syncs may p99 be

ROWS = [
    _append(1, Goal("limit", 0.9)),
    _append(16, Goal("limit", 0.85)),
    _append(64, Goal("limit", 0.85), Goal("RocksDB", 12)),
    _append(1024, Goal("limit", 0.8)),
    Row("append-open", "ns p99", [LIMIT], [Goal("syncs", 1)]),
    Row("replay", "records/s", [*READERS, POSTGRES], [Goal("LMDB", 1.3)], number=REPLAYED, kept=True),
    Row("replay-cold", "records/s", READERS, number=REPLAYED, kept=True, cold=True),
    Row("snapshot", "us", [], [Goal("full replay", 15)], number=SNAPSHOT_TAIL),
    Row("recover", "s", [], [Goal("most", 1)], number=RECOVERED),
]
