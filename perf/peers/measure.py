"""Runs the programs, one at a time, and knows what else the machine was doing meanwhile."""
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time

from rows import SHARE, VARIANTS

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILT = ROOT / "perf" / ".build-peers"
TIMEOUT = 300  # seconds for one run
DISTURBED = 0.05  # of all processors, by others: the run is repeated
TRIES = 3
TICK = os.sysconf("SC_CLK_TCK")


def busy():
    """Seconds that the processors have worked, all together, time stolen by the hypervisor included."""
    with open("/proc/stat") as file:
        user, nice, system, _, _, interrupt, soft, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + interrupt + soft + steal) / TICK


def children_used():
    """Seconds of the processors that ended children took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def shared(run, own=children_used):
    """What `run` returns, and the share of all processors that others had meanwhile: all but what `own` counts."""
    begin, worked, used = time.monotonic(), busy(), own()
    result = run()
    seconds, mine = time.monotonic() - begin, own() - used
    # The kernel counts in ticks: two of them, for each processor, are no disturbance.
    return result, max(0.0, busy() - worked - mine - 2 * os.cpu_count() / TICK) / (seconds * os.cpu_count())


class Runner:
    def __init__(self, ours):
        self.ours = ours
        self.missing = set()
        self.others = []  # of each run: the share of all processors that others used
        self.repeated = 0

    def available(self, name):
        program = self.ours if name == "ours" else BUILT / VARIANTS.get(name, (name,))[0]
        if not program.exists():
            self.missing.add(name)
        return program.exists()

    def run(self, name, work, workers, count):
        """The figures of one repetition; None: the program has no such work."""
        program, other, extra = VARIANTS.get(name, (name, None, {}))
        path = self.ours if name == "ours" else BUILT / program
        count = max(1, int(count * SHARE.get(name, 1)))
        for attempt in range(TRIES):
            ended, others = shared(lambda: subprocess.run(
                [path, other or work, str(workers), str(count)], capture_output=True, text=True, timeout=TIMEOUT, env={**os.environ, **extra}))
            if ended.returncode == 69:
                return None
            if ended.returncode != 0:
                raise RuntimeError(f"{name} {work} {workers} {count} ended with {ended.returncode}: {ended.stderr.strip()[-500:]}")
            if others <= DISTURBED or attempt == TRIES - 1:
                self.others.append(others)
                return [float(figure) for figure in ended.stdout.split()]
            self.repeated += 1

    def rounds(self, row, rounds, scale):
        """Figures of each program for the row, A B C A B C; the ping-pong beside them; and the most that others used of the processors."""
        names = ["ours", *row.peers, *row.beside]
        names = [name for name in names if self.available(name)]
        figures, ping_pong, before = {}, [], len(self.others)
        for _ in range(rounds):
            for name in list(names):
                got = self.run(name, row.of or row.work, row.workers, max(1, int(row.count * scale)))
                if got is None:
                    names.remove(name)
                else:
                    figures.setdefault(name, []).append(got)
            if row.workers == 2 and self.available("floor"):
                ping_pong += self.run("floor", "ping-pong", 2, 100_000)
        return figures, ping_pong, max(self.others[before:], default=0)


def three(figures):
    return [min(figures), statistics.median(figures), max(figures)]


def short(value):
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def host():
    def first(path, key, otherwise="unknown"):
        try:
            with open(path) as file:
                return next((line.split(":", 1)[1].strip() for line in file if line.startswith(key)), otherwise)
        except OSError:
            return otherwise

    return {
        "cpu": first("/proc/cpuinfo", "model name"),
        "cpus": len(os.sched_getaffinity(0)),
        "kernel": os.uname().release,
        "clocksource": pathlib.Path("/sys/devices/system/clocksource/clocksource0/current_clocksource").read_text().strip()
        if os.path.exists("/sys/devices/system/clocksource/clocksource0/current_clocksource")
        else "unknown",
    }


def commit():
    def git(*arguments):
        return subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True).stdout.strip()

    return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")


def complain(text):
    print(f"peers: {text}", file=sys.stderr)
