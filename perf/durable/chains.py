"""What is run, by whom, and what must be reached. A ratio is larger where ours is better."""
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Column:
    """A program and the work that it is given for the row's."""

    name: str
    program: str
    work: str = "{work}"
    on_postgres: bool = False


OURS = Column("ours", "DurableBenchmark")
DBOS = Column("DBOS, PostgreSQL", "dbos", on_postgres=True)
DBOS_SQLITE = Column("DBOS, SQLite", "dbos")
PIPELINE = Column("PostgreSQL engine, a transaction a step", "postgres_engine", "{work}-pipeline", on_postgres=True)
GROUP = Column("PostgreSQL engine, group commit", "postgres_engine", "{work}-group", on_postgres=True)


@dataclass(frozen=True)
class Row:
    work: str
    unit: str
    columns: list
    # Name of a column to the ratio.
    goals: dict = field(default_factory=dict)


BEST_DBOS = "DBOS"  # the quickest of its columns
ROWS = [
    Row("durable-1", "ms a workflow", [DBOS, DBOS_SQLITE, PIPELINE], {BEST_DBOS: 12}),
    Row("durable-1024", "steps/s", [DBOS, PIPELINE, GROUP], {BEST_DBOS: 600, PIPELINE.name: 5, GROUP.name: 5}),
    Row("saga-1024", "sagas/s", [DBOS], {BEST_DBOS: 300}),
]
