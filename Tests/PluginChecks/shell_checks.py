"""The shell plugin: results, bounds, refusals, and that nothing of a program's group is left."""

import json
import os
import tempfile
import time

from driver import attempt, check


def run(value, **options):
    return attempt("shell", "run", value=value, **options)


def is_gone(pid):
    """Whether no such process lives (one that nobody reaped yet lives no more)."""
    try:
        return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True


def gone(pid):
    """As is_gone, given the kernel's moment after the signal."""
    for _ in range(2000):
        if is_gone(pid):
            return True
        time.sleep(0.001)
    return False


def check_results(folder):
    end = run({"program": "printf", "arguments": ["%s|", "a b", "", "ü", "$HOME"]})
    check(
        end.status == "done"
        and end.json() == {"exitCode": 0, "signal": None, "stdout": "a b||ü|$HOME|", "stderr": "", "truncated": False, "droppedBytes": 0},
        f"arguments as they are: {end} {end.output}",
    )
    end = run({"command": "pwd; echo $A$B; cat", "directory": folder, "environment": {"A": "1", "B": "=2"}, "stdin": "in\u0000\nput"})
    check(
        end.status == "done" and end.json()["stdout"] == f"{os.path.realpath(folder)}\n1=2\nin\0\nput",
        f"directory, environment, stdin: {end} {end.output}",
    )
    end = run({"program": "/usr/bin/env", "environment": {"ONLY": "x"}, "inheritEnvironment": False})
    check(end.json()["stdout"] == "ONLY=x\n", f"no inherited environment: {end.output}")
    end = run({"program": "env", "environment": {"KEPT": "new"}}, env={**os.environ, "KEPT": "old", "OTHER": "o"})
    check(
        "KEPT=new\n" in end.json()["stdout"] and "KEPT=old" not in end.json()["stdout"] and "OTHER=o\n" in end.json()["stdout"],
        "a variable is replaced, others are inherited",
    )
    end = run(
        {"command": "echo $A $B $C $D; env | grep -c ^A=", "environment": {"A": "input", "B": "b"}},
        env={**os.environ, "C": "old", "D": "d"},
        variable=["A=task", "C=of=it", "EMPTY="],
    )
    # The values that the host calls secret come back marked.
    check(end.status == "done" and end.json()["stdout"] == "*** b *** d\n1\n", f"variables of the task over all others: {end} {end.output}")
    end = run({"command": "printf %s $KEY | wc -c; echo no $KEY >&2; exit 4"}, variable="KEY=hidden")
    details = json.loads(end.details)
    check(
        end.error == "exit-4" and end.message.endswith("stderr: no ***") and details["stdout"] == "6\n" and details["stderr"] == "no ***\n",
        f"a secret in what a program says: {end} {end.details}",
    )
    end = run({"command": "ls /proc/self/fd; readlink /proc/self/fd/0; grep -E '^Sig(Blk|Ign)' /proc/self/status"})
    lines = end.json()["stdout"].split("\n")
    check(lines[:4] == ["0", "1", "2", "3"] and lines[4] == "/dev/null", f"three descriptors (the fourth is ls's own): {lines}")
    own = 3 << 31  # signals 32 and 33 are glibc's
    check(all(int(line.split()[1], 16) & ~own == 0 for line in lines if line.startswith("Sig")), f"no blocked or ignored signals: {lines}")
    end = run({"command": "printf '\\377a\\303'; printf '\\360\\237\\230\\200' >&2"})
    check(end.json()["stdout"] == "\ufffda\ufffd" and end.json()["stderr"] == "😀", f"bytes that are not UTF-8: {end.output}")
    end = run({"program": "./tool", "directory": folder})
    check(end.error == "not-found", f"no such file: {end}")


def check_values():
    """`result` and `value`: what a program says without the line break at its end, and the JSON that it is."""
    for said, result, value in [
        ("", "", ""),
        ("\n", "", ""),
        ("heads\n", "heads", "heads"),
        ("heads\n\n", "heads\n", "heads\n"),
        ("5\n", "5", 5),
        (" -0.5 ", " -0.5 ", -0.5),
        ("05", "05", "05"),
        ("true\n", "true", True),
        ("null", "null", None),
        ('"quo\\"ted"\n', '"quo\\"ted"', 'quo"ted'),
        ('["a", {"b": 1}]\n', '["a", {"b": 1}]', ["a", {"b": 1}]),
        ('["a", ]', '["a", ]', '["a", ]'),
        ("[" * 65 + "]" * 65, "[" * 65 + "]" * 65, "[" * 65 + "]" * 65),
    ]:
        end = run({"command": "cat", "stdin": said, "result": True})
        got = end.json()
        check(
            end.status == "done" and got["stdout"] == said and got["result"] == result and got["value"] == value and not got["truncated"],
            f"what {said!r} stands for: {end} {end.output}",
        )
    got = run({"command": "printf 12345", "outputLimit": 3, "result": True}).json()
    check(got["value"] == "123" and got["droppedBytes"] == 2, f"a number that was cut off is none: {got}")
    got = run({"command": "echo 1", "result": False}).json()
    check("result" not in got and "value" not in got, f"not asked for: {got}")
    end = run({"command": "head -c 16777216 /dev/zero", "outputLimit": 16777216, "result": True})
    got = end.json()
    check(
        end.status == "done" and got["truncated"] and len(got["stdout"]) > 500000 and got["value"] == got["result"] == got["stdout"],
        f"three times what fits: {end}",
    )
    details = json.loads(run({"command": "echo 7; exit 1", "result": True}).details)
    check(details["value"] == 7, f"the details of a failure have them too: {details}")


def check_failures(folder):
    end = run({"command": "echo out; echo why >&2; exit 3"})
    check(
        end.status == "retry" and end.error == "exit-3" and "why" in end.message and json.loads(end.details)["stdout"] == "out\n",
        f"a nonzero end: {end}",
    )
    end = run({"command": "yes wrong | head -c 100000 >&2; exit 1"})
    check(end.error == "exit-1" and 500 < len(end.message) < 1500, f"the tail of stderr: {len(end.message)}")
    end = run({"command": "printf 'a\\377\\000b\\033' >&2; exit 1"})
    check(end.error == "exit-1" and "a??b?" in end.message, f"bytes in a message: {end!r}")
    end = run({"command": "kill -9 $$"})
    check(
        end.status == "retry"
        and end.error == "signal-9"
        and json.loads(end.details)["signal"] == 9
        and json.loads(end.details)["exitCode"] is None,
        f"ended by a signal: {end}",
    )
    open(f"{folder}/plain", "w").write("#!/bin/sh\n")
    open(f"{folder}/badly", "w").write("#!/nowhere/interpreter\n")
    open(f"{folder}/noscript", "w").write("text\n")
    os.chmod(f"{folder}/badly", 0o755)
    os.chmod(f"{folder}/noscript", 0o755)
    for value, error in [
        ({"program": "no-such-program-anywhere"}, "not-found"),
        ({"program": f"{folder}/none"}, "not-found"),
        ({"program": f"{folder}/badly"}, "not-found"),
        ({"program": f"{folder}/plain"}, "not-executable"),
        ({"program": f"{folder}/noscript"}, "not-executable"),
        ({"program": folder}, "not-executable"),
        ({"program": "true", "directory": f"{folder}/none"}, "bad-directory"),
        ({"program": "true", "directory": f"{folder}/plain"}, "bad-directory"),
        ({"program": "true", "arguments": ["x" * 300000]}, "too-large"),
        ({}, "bad-input"),
        (None, "bad-input"),
        ({"program": ""}, "bad-input"),
        ({"program": "a\0b"}, "bad-input"),
        ({"program": "a", "command": "b"}, "bad-input"),
        ({"command": "a", "arguments": []}, "bad-input"),
        ({"program": "a", "args": []}, "bad-input"),
        ({"program": "a", "arguments": "b"}, "bad-input"),
        ({"program": "a", "arguments": [1]}, "bad-input"),
        ({"program": "a", "arguments": ["x"] * 4097}, "bad-input"),
        ({"program": "a", "environment": {"A=": "b"}}, "bad-input"),
        ({"program": "a", "environment": {"": "b"}}, "bad-input"),
        ({"program": "a", "environment": {"A": 1}}, "bad-input"),
        ({"program": "a", "result": "json"}, "bad-input"),
        ({"program": "a", "environment": []}, "bad-input"),
        ({"program": "a", "outputLimit": -1}, "bad-input"),
        ({"program": "a", "outputLimit": (16 << 20) + 1}, "bad-input"),
        ({"program": "a", "outputLimit": 1.5}, "bad-input"),
        ({"program": "a", "inheritEnvironment": 1}, "bad-input"),
        ({"program": "a", "stdin": 1}, "bad-input"),
        ({"program": "a", "directory": ""}, "bad-input"),
    ]:
        end = run(value)
        check(end.status == "failed" and end.error == error and end.message, f"{str(value)[:200]}: {end}")


def check_bounds():
    end = run({"command": "head -c 3000000 /dev/zero | tr '\\0' x; head -c 1048576 /dev/zero | tr '\\0' y >&2"})
    o = end.json()
    check(
        end.status == "done"
        and len(o["stdout"]) == 1 << 20
        and o["truncated"]
        and o["droppedBytes"] == 3000000 - (1 << 20)
        and o["stderr"] == "y" * (1 << 20),
        "output beyond the limit is dropped and counted",
    )
    end = run({"command": "echo 12345", "outputLimit": 3})
    check(end.json()["stdout"] == "123" and end.json()["droppedBytes"] == 3, f"a limit of 3: {end.output}")
    end = run({"command": "echo 1", "outputLimit": 0})
    check(end.json()["stdout"] == "" and end.json()["truncated"], "a limit of 0")
    end = run({"command": "head -c 12000000 /dev/zero", "outputLimit": 16 << 20})
    check(
        end.status == "done"
        and end.json()["truncated"]
        and len(end.json()["stdout"]) + end.json()["droppedBytes"] == 12000000
        and len(end.output) <= 16 << 20,
        "what escaping makes too long is dropped too",
    )
    end = run({"program": "cat", "stdin": "z" * 5000000, "outputLimit": 8 << 20})
    check(end.json()["stdout"] == "z" * 5000000, "5 MB through a program")
    end = run({"program": "true", "stdin": "z" * 5000000})
    check(end.status == "done", "a program that does not read its stdin")


def check_groups(folder):
    """Grandchildren: named in files, so that this process can look for them."""
    hold = f"""cd {folder}
        sh -c 'trap "" TERM; echo $$ > stubborn; while :; do sleep 1; done' &
        sleep 300 &
        echo $! > meek
        while [ ! -s stubborn ]; do :; done
        echo $$ > leader
        """
    for name, options, tail in [
        ("cancelled", {"cancel_after": 500}, "wait"),
        ("past its deadline", {"deadline": 500}, "sleep 300"),
        ("ended with the pipe held open", {}, "echo out"),
    ]:
        end = run({"command": hold + tail}, **options)
        pids = [int(open(f"{folder}/{who}").read()) for who in ("leader", "meek", "stubborn")]
        check(all(gone(pid) for pid in pids), f"{name}: a process is left")
        check(end.wall < 60, f"{name}: took {end.wall} s")
        expected = {"cancelled": ("cancelled", "cancelled"), "past its deadline": ("retry", "timed-out")}.get(name, ("done", ""))
        check((end.status, end.error) == expected, f"{name}: {end}")
        for who in ("leader", "meek", "stubborn"):
            os.remove(f"{folder}/{who}")
    check(json.loads(end.output)["stdout"] == "out\n", "the output before the end is kept")
    end = run({"command": "sleep 300 >/dev/null 2>&1 </dev/null & echo $!"})
    check(
        end.status == "done" and gone(int(end.json()["stdout"])) and end.wall < 60,
        f"a grandchild without the pipes ends at once: {end.wall}",
    )
    end = run({"command": "setsid sh -c 'echo $$; exec sleep 300' & sleep 0.2; echo leader"})
    pid = int(end.json()["stdout"].split()[0])
    check(end.status == "done" and end.wall < 60, f"one that left the group with the pipe is not waited for: {end.wall}")
    check(not is_gone(pid), "and lives")
    os.kill(pid, 9)
    end = run({"command": "trap 'echo bye; exit 0' TERM; while :; do sleep 0.01; done"}, cancel_after=500)
    check(
        end.status == "cancelled" and json.loads(end.details)["stdout"] == "bye\n" and end.wall < 60,
        f"a program that ends in its grace: {end} {end.details}",
    )
    end = run({"program": "yes", "outputLimit": 1000}, cancel_after=300)
    check(end.status == "cancelled" and end.wall < 60, f"a flood can be cancelled: {end}")
    end = run({"command": "exec >&- 2>&-; sleep 0.3"})
    check(end.status == "done" and end.wall >= 0.29, f"a program that shuts its output is waited for: {end.wall}")
    end = run({"command": "sleep 2.2"})
    check(end.status == "done", "a quiet program is waited for")


def run_all():
    with tempfile.TemporaryDirectory() as folder:
        check_results(folder)
        check_values()
        check_failures(folder)
        check_bounds()
        check_groups(folder)
        attempt(
            "shell",
            "run",
            value={"program": "no-such-program-anywhere", "arguments": ["a"], "environment": {"A": "b"}, "outputLimit": 9, "result": True},
            mutate="5:500",
        )


def run_few():
    """What is worth its time under valgrind, which makes vfork a fork: how a start fails cannot be seen there."""
    check_bounds()
