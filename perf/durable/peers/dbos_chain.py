"""DBOS: workflows of ten empty steps, and sagas of five steps of which the last fails.

    dbos_chain.py WORK DIRECTORY SECONDS      WORK: durable-N, saga-N, with -threads behind it for synchronous workflows on threads

With PGHOST in the environment it keeps its records in PostgreSQL (the database `dbos`), else in SQLite below DIRECTORY. One line of JSON, as docs/durable-benchmark.md
says. It counts the rows that it left before it tells how many there were.
"""
import asyncio
import json
import os
import pathlib
import sys
import time
import urllib.parse
import uuid

import sqlalchemy
from dbos import DBOS, SetWorkflowID

STEPS = 10
SAGA_STEPS = 5
MOST_THREADS = 64


@DBOS.step()
async def nothing_async(_):
    pass


@DBOS.workflow()
async def chain_async():
    for step in range(STEPS):
        await nothing_async(step)


@DBOS.step()
def nothing(_):
    pass


@DBOS.workflow()
def chain():
    for step in range(STEPS):
        nothing(step)


@DBOS.step()
async def fail():
    raise ValueError("the last step")


@DBOS.step()
async def undo():
    pass


@DBOS.workflow()
async def saga():
    try:
        for step in range(SAGA_STEPS - 1):
            await nothing_async(step)
        await fail()
    except ValueError:
        await undo()


async def run_async(workflow):
    with SetWorkflowID(str(uuid.uuid4())):
        return await (await DBOS.start_workflow_async(workflow)).get_result()


class Loop:
    """`count` at a time until the time is over, one each at least."""

    def __init__(self, count):
        self.count, self.times = count, []

    async def measure(self, workflow, end):
        async def one_after_the_other():
            while True:
                begin = time.monotonic()
                await run_async(workflow)
                now = time.monotonic()
                self.times.append(now - begin)
                if now >= end:
                    return

        await asyncio.gather(*(one_after_the_other() for _ in range(self.count)))

    def measure_threads(self, workflow, end):
        """The pool of DBOS has the threads; here they are only waited for."""
        while True:
            begin = time.monotonic()
            handles = [DBOS.start_workflow(workflow) for _ in range(self.count)]
            for handle in handles:
                handle.get_result()
                self.times.append(time.monotonic() - begin)
            if time.monotonic() >= end:
                return


def database(directory):
    if "PGHOST" not in os.environ:
        return f"sqlite:///{directory}/dbos.sqlite"
    user, host, port = os.environ["PGUSER"], urllib.parse.quote(os.environ["PGHOST"], safe=""), os.environ["PGPORT"]
    return f"postgresql+psycopg://{user}@/dbos?host={host}&port={port}"


def recorded(url):
    """Steps, and workflows that are over, in the tables."""
    schema = "dbos." if url.startswith("postgresql") else ""
    with sqlalchemy.create_engine(url).connect() as connection:
        return [connection.execute(sqlalchemy.text(f"SELECT count(*) FROM {schema}{rest}")).scalar_one()
                for rest in ("operation_outputs", "workflow_status WHERE status = 'SUCCESS'")]


def percentile(times, part):
    return int(sorted(times)[int(len(times) * part)] * 1e9) if len(times) * (1 - part) >= 10 else None


def main():
    work, directory, seconds = sys.argv[1], pathlib.Path(sys.argv[2]).resolve(), float(sys.argv[3])
    kind, number, *way = work.split("-")
    if kind not in ("durable", "saga") or way not in ([], ["threads"]) or (kind == "saga" and way):
        return 69
    url = database(directory)
    DBOS(config={"name": "chains", "system_database_url": url, "log_level": "ERROR", "run_admin_server": False, "max_executor_threads": MOST_THREADS})
    DBOS.launch()
    if "PGHOST" in os.environ:
        # What the run before has left is not this one's.
        with sqlalchemy.create_engine(url).begin() as connection:
            connection.execute(sqlalchemy.text("TRUNCATE dbos.operation_outputs, dbos.workflow_status CASCADE"))
    count = int(number)
    warm, loop = Loop(min(count, 16)), Loop(count)
    begin = 0
    if way:
        warm.measure_threads(chain, 0)
        begin = time.monotonic()
        loop.measure_threads(chain, begin + seconds)
    else:
        async def both():
            nonlocal begin
            workflow = chain_async if kind == "durable" else saga
            await warm.measure(workflow, 0)
            begin = time.monotonic()
            await loop.measure(workflow, begin + seconds)

        asyncio.run(both())
    elapsed = time.monotonic() - begin
    per = STEPS if kind == "durable" else SAGA_STEPS + 1
    runs = len(loop.times) + len(warm.times)
    steps, ended = recorded(url)
    if (steps, ended) != (runs * per, runs):
        raise RuntimeError(f"of {runs} workflows the tables have {ended}, and {steps} steps")
    workflows = len(loop.times)
    print(json.dumps({"program": "dbos", "work": work, "way": "threads" if way else "async", "workflows": workflows, "steps": workflows * per,
                      "seconds": elapsed, "p50_ns": percentile(loop.times, 0.5), "p99_ns": percentile(loop.times, 0.99)}))
    DBOS.destroy()
    return 0


if __name__ == "__main__":
    sys.exit(main())
