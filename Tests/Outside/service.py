"""Runs Examples/service, ends it by SIGTERM in the middle of its work, and sees that all it had begun was finished, and nothing began after that.

    service.py PROGRAM

Exits 0, or 1 with what was wrong and what the service said.
"""
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading

PATIENCE = 120  # seconds, for a machine that is busy


def main(program):
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "means"
        service = subprocess.Popen(
            [program, str(file)], stderr=subprocess.PIPE, text=True, env={**os.environ, "LOG_LEVEL": "debug"})
        watch = threading.Timer(PATIENCE, service.kill)
        watch.start()
        lines, started, ended, told, late = [], [], [], False, []
        for line in service.stderr:
            lines.append(line)
            run = re.search(r"\brun=(\S+)", line)
            if "workflow started" in line:
                (late if "draining" in "".join(lines) else started).append(run[1])
            if "workflow completed" in line:
                ended.append(run[1])
            # Some have ended, and one goes on: it takes at least 0.7 s from its start.
            if not told and ended and "workflow started" in line:
                told = True
                service.send_signal(signal.SIGTERM)
        code = service.wait()
        watch.cancel()
        stored = [line.split()[0] for line in file.read_text().splitlines()]
        faults = []
        if not told:
            faults.append("it never had a run in progress beside one that had ended")
        if code != 0:
            faults.append(f"it ended with {code}")
        if late:
            faults.append(f"{len(late)} runs began when it was draining")
        if sorted(started + late) != sorted(ended):
            faults.append(f"{len(started)} runs began, {len(ended)} completed")
        if sorted(stored) != sorted(ended):
            faults.append(f"{len(ended)} runs completed, {len(stored)} are in the file")
        if "drained=true" not in "".join(lines):
            faults.append("it does not say that it was drained")
        if not re.search(r"task=store\b.*stored", "".join(lines)):
            faults.append("no line of a handler has the task that it is of")
        if faults:
            sys.exit("".join(lines) + "service: " + "; ".join(faults))
        print(f"the service finished {len(ended)} runs, some of them after SIGTERM, and began none")


main(sys.argv[1])
