"""The rows of the comparison: what is run, by whom, and what must be reached. A ratio is larger where ours is better."""
from dataclasses import dataclass

RUNTIMES = ["tbb", "tbb-flow", "rayon", "tokio", "go", "dispatch", "swift-tasks"]
# Shown, but no goal is set against them: queues with threads around them, one thread's list, calls that are no jobs, and bare arrays.
BESIDE = {
    "moodycamel": "a queue",
    "crossbeam": "deques",
    "dispatch-serial": "one thread's list",
    "rayon-join": "nested calls",
    "floor": "no features",
}
NAMES = {
    "tbb": "oneTBB",
    "tbb-flow": "oneTBB flow graph",
    "dispatch": "libdispatch",
    "swift-tasks": "Swift tasks",
    "uv": "libuv",
    "go": "Go",
}
# How a program is called where its name is not enough: program, work in place of the row's, environment.
VARIANTS = {"dispatch-serial": ("dispatch", None, {"SERIAL": "1"}), "rayon-join": ("rayon", "tree-join", {})}
# Too slow for the whole count: a job costs it microseconds, however many there are.
SHARE = {"swift-tasks": 0.1}


@dataclass
class Row:
    work: str
    workers: int
    unit: str
    count: int
    goal: float
    peers: tuple = ()
    beside: tuple = ()
    limit: float | None = None  # the goal is a figure, not a peer
    of: str | None = None  # the work that is run, where one run has the figures of several rows
    figure: int = 0
    more: bool = False  # a larger figure is better


def _shapes():
    goals = {"independent": (4, 2), "chain": (4.5, 4.5), "fan": (2, 3), "tree": (3.5, 7), "grid": (3.3, 7)}
    for shape, both in goals.items():
        count = 1 << 20 if shape in ("tree", "grid") else 1_010_000 if shape == "fan" else 1_000_000
        beside = ["crossbeam", "dispatch-serial", "floor"]
        if shape == "independent":
            beside.append("moodycamel")
        if shape == "tree":
            beside.append("rayon-join")
        for workers, goal in zip((1, 2), both):
            yield Row(shape, workers, "ns a job", count, goal, tuple(RUNTIMES), tuple(beside))


def _granularity():
    loose = ("tbb", "rayon", "tokio", "go", "dispatch", "swift-tasks")
    beside = ("moodycamel", "crossbeam", "floor")
    for name, count in (("100ns", 200_000), ("1000ns", 50_000), ("10000ns", 10_000), ("100000ns", 1_000)):
        yield Row(f"granularity-{name}", 2, "efficiency", count, 1, loose, beside, more=True)
    # A body so small that a job's own cost is as large as it; Swift's tasks take too long to look for it.
    yield Row("granularity-half", 2, "ns of body", 200_000, 2, loose[:-1], beside)


def _latencies():
    idle = ("tbb", "rayon", "tokio", "go", "dispatch", "swift-tasks")
    yield Row("idle-spin", 1, "ns p50", 1_000, 1, (), ("moodycamel", "crossbeam", "floor"), limit=500)
    yield Row("idle-park", 1, "ns p50", 1_000, 1, idle, ("moodycamel",))
    for figure, (name, goal) in enumerate((("p50", 2.5), ("p99", 2))):
        yield Row(f"rate-100k-{name}", 1, f"ns {name}", 100_000, goal, idle, ("moodycamel", "crossbeam", "floor"), of="rate-100k", figure=figure)


def _own():
    """What is measured against ourselves: the limit is the issue's."""
    shapes = ("independent", "fan", "tree", "grid")
    for body in ("body-1us", "body-10us"):
        for figure, shape in enumerate(shapes):
            yield Row(f"{body}-{shape}", 2, "times faster than 1 worker", 20_000, 1, limit=1.8, of=body, figure=figure, more=True)
    for figure, shape in enumerate(("chain", "independent")):
        yield Row(f"timeout-cost-{shape}", 1, "ns a task more", 200_000, 1, limit=5, of="timeout-cost", figure=figure)
    yield Row("plugin-cost", 1, "ns a task more", 200_000, 1, limit=5)
    for workers in (1, 2):
        yield Row("mixed", workers, "times one priority", 200_000, 1, limit=1.1)
    yield Row("queue-depth-1M", 1, "times 10^3 queued", 1_000_000, 1, limit=1.5, of="queue-depth")
    # Beyond, the figure is only reported.
    yield Row("queue-depth-10M", 1, "times 10^3 queued", 10_000_000, 0, limit=1.5, of="queue-depth")


ROWS = [
    *_shapes(),
    Row("plan-build", 1, "ns a node", 1 << 20, 4, ("tbb-flow",), ("floor",)),
    Row("plan-bytes", 1, "bytes a node", 1 << 20, 4, ("tbb-flow",)),
    *_granularity(),
    *_latencies(),
    Row("timers-cancel", 1, "ns a timer", 1_000_000, 4, ("go", "tokio", "uv")),
    Row("timers-fire", 1, "ns late p99", 1_000_000, 100, ("go", "tokio", "uv")),
    *_own(),
]
# Empty jobs at two workers may take 1.1 times as long as at one: made of the rows above.
SLOWER_AT_TWO = 1 / 1.1
