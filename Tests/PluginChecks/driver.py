"""Runs handlers through the small host, one process for each attempt."""

import json
import os
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor

BUILD = os.environ["PLUGIN_CHECKS_BUILD"]
WRAP = os.environ.get("PLUGIN_CHECKS_WRAP", "").split()
failures = []
checked = 0


def check(condition, what):
    global checked
    checked += 1
    if not condition:
        failures.append(what)
        print("FAILED:", what, flush=True)


class End:
    """How an attempt ended."""

    def __init__(self, text, output, details):
        fields = dict(line.split(" ", 1) for line in text.split("message ", 1)[0].splitlines() if " " in line)
        self.status = fields.get("status")
        self.error = fields.get("error", "")
        self.wall = float(fields.get("wall", 0))
        self.cpu = float(fields.get("cpu", 0))
        self.beats = int(fields.get("beats", 0))
        self.message = text.split("message ", 1)[1].rstrip("\n") if "message " in text else ""
        self.output = output
        self.details = details

    def json(self):
        return json.loads(self.output)

    def __repr__(self):
        return f"{self.status} {self.error}: {self.message}"


def attempt(plugin, handler, inputs=(), value=None, timeout=300, env=None, **options):
    """One attempt. `value` is input 0; `inputs` are (name, "json" or "bytes", bytes)."""
    with tempfile.TemporaryDirectory() as folder:
        command = WRAP + [f"{BUILD}/host", f"{BUILD}/{plugin}.so", handler]
        for i, (name, kind, content) in enumerate([("input", "json", json.dumps(value).encode()), *inputs]):
            with open(f"{folder}/{i}", "wb") as file:
                file.write(content)
            command += ["--input", f"{name}:{kind}:{folder}/{i}"]
        for key, option in options.items():
            for one in option if isinstance(option, list) else [option]:
                command += ["--" + key.replace("_", "-"), str(one)]
        command += ["--output", f"{folder}/output", "--details", f"{folder}/details"]
        done = subprocess.run(command, capture_output=True, timeout=timeout, env=env)
        if done.returncode != 0:
            check(False, f"{plugin}/{handler} ended with {done.returncode}: {done.stderr.decode(errors='replace')[-3000:]}")
        read = lambda name: open(f"{folder}/{name}", "rb").read() if os.path.exists(f"{folder}/{name}") else b""
        return End(done.stdout.decode(errors="replace"), read("output"), read("details"))


def census(value, chunks=None, threads=2, times=None):
    """The whole workflow. The report's End, or the End of the first task that did not do well; `times` takes [(stage, wall, cpu)]."""

    def stage(name, tasks):
        with ThreadPoolExecutor(threads) as pool:
            ends = list(pool.map(lambda task: attempt("debian", *task[0], **task[1]), tasks))
        if times is not None:
            times.append((name, sum(e.wall for e in ends), sum(e.cpu for e in ends), max(e.wall for e in ends), len(ends)))
        return ends

    if chunks:
        value = {**value, "chunks": chunks, "fileChunks": chunks}
    split = stage("split", [(("split",), {"value": value})])[0]
    if split.status != "done":
        return split
    plan = ("split", "json", split.output)
    count, file_count = len(split.json()["chunks"]), len(split.json()["files"])
    parts = stage("parse", [(("parse", [plan]), {"value": {"chunk": i}}) for i in range(count)])
    files = stage("files", [(("files", [plan]), {"value": {"chunk": i}}) for i in range(file_count)])
    for end in parts + files:
        if end.status != "done":
            return end
    merged = stage(
        "merge-packages", [(("merge-packages", [(f"p{i}", "bytes", e.output) for i, e in reversed(list(enumerate(parts)))]), {})]
    )[0]
    if merged.status != "done":
        return merged
    ranked = stage("rank", [(("rank", [("m", "bytes", merged.output)]), {})])[0]
    counted = stage("merge-files", [(("merge-files", [(f"f{i}", "json", e.output) for i, e in enumerate(files)]), {})])[0]
    single = stage("single", [(("single", [plan]), {})])[0]
    for end in (ranked, counted, single):
        if end.status != "done":
            return end
    results = [("rank", "json", ranked.output), ("merge-files", "json", counted.output)]
    compared = stage("compare", [(("compare", [*results, ("single", "json", single.output)]), {})])[0]
    if compared.status != "done":
        return compared
    end = stage("report", [(("report", [*results, ("compare", "json", compared.output), plan]), {})])[0]
    end.outputs = {
        "plan": plan,
        "parts": parts,
        "files": files,
        "merged": merged,
        "ranked": ranked,
        "counted": counted,
        "single": single,
        "compared": compared,
    }
    return end
