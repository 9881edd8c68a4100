"""The debian plugin against the oracle: made databases, hostile ones, damaged intermediate results, and this machine's own."""

import hashlib
import json
import os
import random
import tempfile
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import oracle
from driver import attempt, census, check

CONTENTS = {
    "empty": b"",
    "only blank lines": b"\n\n \n\t\n",
    "one without a newline": b"Package: a\nStatus: install ok installed\nArchitecture: all\nInstalled-Size: 5",
    "duplicates": b"".join(
        b"Package: d\nStatus: install ok %s\nArchitecture: %s\nSection: %s\nInstalled-Size: %d\nDepends: x%d\n\n" % r
        for r in [
            (b"installed", b"amd64", b"one", 1, 1),
            (b"installed", b"i386", b"one", 2, 2),
            (b"installed", b"amd64", b"two", 4, 3),
            (b"config-files", b"i386", b"one", 8, 4),
        ]
    ),
    "states": b"".join(
        b"Package: p%d\nStatus: %s\n\n" % (i, s)
        for i, s in enumerate(
            [
                b"install ok installed",
                b"deinstall ok installed",
                b"hold ok installed",
                b"deinstall ok config-files",
                b"install ok half-installed",
                b"unknown ok not-installed",
                b"install reinstreq installed",
                b"install ok installed extra",
                b"installed",
                b"ok installed",
                b"",
                b"install ok Installed",
                b"install\tok  installed ",
            ]
        )
    ),
    "dependencies": b"".join(
        b"Package: p%d\nStatus: install ok installed\n%s\n\n" % (i, s)
        for i, s in enumerate(
            [
                b"Depends: libc6 (>= 2.3), libc6 (<< 3), python3:any, a|b|a",
                b"Pre-Depends: libc6:amd64 (= 2) | c [amd64] <!nocheck>, d(>=1)\nDepends: libc6",
                b"Depends: a,\n b (>= 1),\n\tc",
                b"Depends:\n a\n , b",
                b"Depends: , , | ,",
                b"Recommends: a",
                b"depends: a\nDEPENDS: b",
                b"Depends: p4",
                b"Depends: (>= 1) x, y",
                b"Depends: a\0b, c\xff, c\xff",
                b"Section: non-free/libs\nInstalled-Size: 12x",
                b"Section:\nInstalled-Size: -4",
                b"Section: \xff\xfe\nInstalled-Size: 99999999999999999999",
                b"Section: \xfe\xff\nInstalled-Size:   77 ",
                b"Section: a\n folded\nInstalled-Size: 3\n 4",
                b"no colon here\n continued\n:empty name",
                b"Package: renamed-%d" % 7,
            ]
        )
    ),
    "windows": b"Package: w\r\nStatus: install ok installed\r\nDepends: a, b\r\n\r\nPackage: v\r\nStatus: install ok installed\r\n",
    "whitespace line parts": b"Package: a\nStatus: install ok installed\n \t \nPackage: b\nStatus: install ok installed\n",
    "NUL": bytes(1000) + b"\n\nPackage: n\0m\nStatus: install ok installed\nSection: s\0t\n\0\n",
    "huge line": b"Package: h\nStatus: install ok installed\nDepends: "
    + b", ".join(b"n%d" % (i % 40000) for i in range(60000))
    + b"\nX: "
    + b"y" * 3000000
    + b"\n\n",
    "long names": b"Package: "
    + b"n" * 10000
    + b"\nStatus: install ok installed\nSection: "
    + b"\xff" * 9000
    + b"\nDepends: "
    + b"m" * 20000
    + b"\n",
    "ties": b"".join(
        b"Package: t%02d\nStatus: install ok installed\nInstalled-Size: %d\nDepends: t%02d\n\n" % (i, i % 3, (i * 7) % 40)
        for i in range(40)
    ),
    "no stanza ends": b"X: y\n" * 1000,
    "archive": random.Random(3).randbytes(300000),
}


def write(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
    return path


def check_contents(folder):
    for name, content in CONTENTS.items():
        path = write(f"{folder}/made/status", content)
        for chunks in (1, 3, 16):
            end = census({"status": path}, chunks)
            check(end.status == "done", f"{name} in {chunks} chunks: {end}")
            if end.status != "done":
                continue
            check(
                not oracle.compare(end.json(), oracle.packages(content)),
                f"{name} in {chunks}: {str(oracle.compare(end.json(), oracle.packages(content)))[:1000]}",
            )
            check(end.json()["filesChecked"] == 0 and "note" in end.json(), f"{name}: no info directory, no files, and a note")
            check(
                list(end.json())[:7]
                == ["packages", "installedSizeKiB", "sections", "largest", "mostDependedUpon", "filesChecked", "filesAltered"],
                "the order of the report",
            )


def check_random(folder, rounds):
    """Stanzas put together at random, cut anywhere: every boundary between chunks gets its turn."""
    r = random.Random(7)
    for round in range(rounds):
        lines = []
        for _ in range(r.randrange(1, 60)):
            lines.append(b"Package: %c" % r.choice(b"abcdefgh"))
            lines.append(
                r.choice([b"Status: install ok installed", b"Status: deinstall ok config-files", b"Statu", b"Status: install ok installed"])
            )
            lines.append(b"Architecture: " + r.choice([b"all", b"amd64", b""]))
            lines.append(b"Installed-Size: %d" % r.randrange(100))
            if r.random() < 0.5:
                lines.append(b"Section: " + r.choice([b"a", b"b/c", b"\xc3", b"\xc3\xa9"]))
            lines.append(
                r.choice([b"Depends", b"Pre-Depends", b"X"])
                + b": "
                + b"".join(r.choice([b"a", b"b", b"cc", b", ", b" | ", b" (>= 1)", b":any", b"\n ", b" "]) for _ in range(r.randrange(12)))
            )
            r.shuffle(lines[-3:])
            lines += [b""] * r.choice([1, 1, 1, 2, 0]) + ([b"\t "] if r.random() < 0.1 else [])
        content = b"\n".join(lines)
        content = content[: r.randrange(len(content))] if r.random() < 0.5 else content
        path = write(f"{folder}/random/status", content)
        end = census({"status": path}, r.choice([1, 2, 5, 9]))
        check(
            end.status == "done" and not oracle.compare(end.json(), oracle.packages(content)), f"random {round}: {end} {content!r}"[:3000]
        )


def check_files(folder):
    """A small root of its own: altered, missing, diverted, moved to a pipe, and lines that are no lines."""
    root, admin = f"{folder}/root", f"{folder}/root/var/lib/dpkg"
    r = random.Random(11)
    sums, paths, body = [], [b"/."], {}
    for i in range(400):
        content = r.randbytes(r.choice([0, 1, 55, 56, 63, 64, 65, 1000, 4096, 262144, 262145, 700001]))
        name = b"usr/share/f%d" % i + (b" with space\xff" if i % 50 == 0 else b"")
        body[name] = content
        os.makedirs(f"{root}/usr/share", exist_ok=True)
        with open(root.encode() + b"/" + name, "wb") as file:
            file.write(content)
        sums.append(hashlib.md5(content).hexdigest().encode() + b"  " + name)
        paths.append(b"/" + name)
    for i in (3, 33, 303):
        with open(f"{root}/usr/share/f{i}", "ab") as file:
            file.write(b"!")
    os.remove(f"{root}/usr/share/f7")
    os.remove(f"{root}/usr/share/f8")
    os.mkdir(f"{root}/usr/share/f8")
    os.rename(f"{root}/usr/share/f9", f"{root}/usr/share/f9.real")
    os.symlink("f9.real", f"{root}/usr/share/f9")
    os.rename(f"{root}/usr/share/f10", f"{root}/usr/share/f10.distrib")
    write(f"{root}/usr/share/f10", b"another package's")
    write(f"{root}/usr/share/f11", b"its own")
    write(f"{admin}/diversions", b"/usr/share/f10\n/usr/share/f10.distrib\nother\n/usr/share/f11\n/usr/share/f11.away\nuppercase\n")
    junk = [
        b"",
        b"zz",
        b"0" * 32,
        b"0" * 32 + b"  ",
        b"0" * 32 + b"  ./",
        b"0" * 33 + b"  x",
        b"g" * 32 + b"  x",
        b"0" * 32 + b" x",
        b"0" * 32 + b"  a\0b",
        b"0" * 32 + b"  " + b"p" * 5000,
        b"0" * 32 + b"  usr/share/f5/x",
    ]
    write(f"{admin}/info/made.md5sums", b"\n".join(sums[:200] + junk + sums[:2]) + b"\n")
    write(f"{admin}/info/made.list", b"\n".join(paths[:200] + [b"", b"relative", b"/a\0b", b"/" + b"q" * 5000, b"/gone"]))
    write(
        f"{admin}/info/other:i386.md5sums",
        b"\n".join(s.replace(b"  usr", b"  ./usr") if i % 2 else s.replace(b"  usr", b" */usr") for i, s in enumerate(sums[200:])),
    )
    write(f"{admin}/info/other:i386.list", b"\n".join(paths[200:]) + b"\n")
    write(f"{admin}/info/uppercase.md5sums", sums[12].upper().replace(b"USR/SHARE/F", b"usr/share/f") + b"\n" + sums[13])
    write(f"{admin}/info/odd name.list", b"/usr\n")
    write(f"{admin}/info/plain.conffiles", b"/etc/x\n")
    os.mkdir(f"{admin}/info/folder.list")
    os.rename(f"{admin}/info/folder.list", f"{admin}/info/folder.lists")
    write(f"{admin}/status", CONTENTS["dependencies"])
    for chunks in (1, 2, 7):
        end = census({"root": root, "status": ""}, chunks)
        check(end.status == "done", f"files: {end}")
        if end.status == "done":
            difference = oracle.compare(end.json(), oracle.packages(CONTENTS["dependencies"]), oracle.files(f"{admin}/info", root))
            check(not difference, f"files in {chunks}: {difference}")
            check(
                "/usr/share/f3" in end.json()["altered"] and end.json()["filesAltered"] >= 4,
                f"the altered ones are named: {end.json()['altered']}",
            )
    os.mkfifo(f"{root}/usr/share/f15.pipe")
    os.replace(f"{root}/usr/share/f15.pipe", f"{root}/usr/share/f15")
    end = census({"root": root}, 2)
    check(end.status == "done" and "/usr/share/f15" in end.json()["altered"], f"a pipe in the place of a file: {end}")
    end = census({"root": root, "sampleMiB": "0"}, 2)
    check(end.status == "done" and end.json()["filesChecked"] == 0 and end.json()["paths"] > 0, f"sample 0: {end}")


def check_refusals(folder):
    end = attempt("debian", "split", value={"status": f"{folder}/none"})
    check(end.status == "failed" and end.error == "no-dpkg" and "--param status=FILE" in end.message, f"no dpkg: {end}")
    with open(f"{folder}/large", "wb") as file:
        file.truncate((1 << 30) + 1)
    for value, error in [
        ({"status": f"{folder}/large"}, "too-large"),
        ({"status": folder}, "unreadable"),
        ({"status": "/dev/null"}, "unreadable"),
        ({"chunks": 0}, "bad-input"),
        ({"chunks": 257}, "bad-input"),
        ({"chunks": "x"}, "bad-input"),
        ({"chunks": "1.5"}, "bad-input"),
        ({"chunk": 1}, "bad-input"),
        ({"status": 5}, "bad-input"),
        (None, "bad-input"),
        ([], "bad-input"),
        ({"status": "a\0b"}, "bad-input"),
        ({"status": f"{folder}/made/status", "info": f"{folder}/nowhere"}, "no-info"),
    ]:
        end = attempt("debian", "split", value=value)
        check(end.status == "failed" and end.error == error, f"split {value}: {end}")
    path = write(f"{folder}/changing/status", CONTENTS["ties"])
    plan = ("split", "json", attempt("debian", "split", value={"status": path}).output)
    write(path, CONTENTS["ties"] + b"\n")
    for handler, value in (("parse", {"chunk": 0}), ("single", None)):
        end = attempt("debian", handler, [plan], value)
        check(end.error == "changed", f"{handler} of a changed file: {end}")
    write(path, CONTENTS["ties"])
    plan = ("split", "json", attempt("debian", "split", value={"status": path, "chunks": 2}).output)
    parts = [("p", "bytes", attempt("debian", "parse", [plan], {"chunk": i}).output) for i in range(2)]
    check(attempt("debian", "parse", [plan], {"chunk": 2}).error == "bad-input", "a chunk that is not in the plan")
    check(attempt("debian", "merge-packages", parts[:1]).error == "missing-chunk", "a chunk that did not come")
    check(attempt("debian", "merge-packages", [parts[0]] * 2).error == "bad-input", "a chunk that came twice")
    check(attempt("debian", "merge-packages", []).error == "missing-chunk", "no chunk at all")
    many = b"Package: m\nStatus: install ok installed\nDepends: " + b"a," * 70000
    write(path, many)
    check(census({"status": path}, 1).error == "too-large", "too many dependencies")
    check(
        attempt("debian", "single", [("s", "json", attempt("debian", "split", value={"status": path}).output)]).error == "too-large",
        "too many dependencies, single",
    )
    end = attempt("debian", "compare", [("a", "json", b'{"packages":1,"x":[1,2]}'), ("b", "json", b'{"packages":2,"x":[1,2]}')])
    check(
        end.error == "totals-differ" and "packages: 1 in parallel, 2 in one thread" in end.message and "x:" not in end.message,
        f"a difference: {end}",
    )
    end = attempt("debian", "compare", [("a", "json", b'{"x":1}'), ("b", "json", b'{"x":1,"y":2}')])
    check(end.error == "totals-differ" and "y: nothing in parallel" in end.message, f"a missing total: {end}")


def handler_runs(folder):
    """Each handler with inputs that suit it: (handler, inputs, value)."""
    path = write(f"{folder}/damage/status", CONTENTS["ties"] + CONTENTS["dependencies"])
    write(f"{folder}/damage/info/a.list", b"/etc\n/etc/passwd\n")
    write(f"{folder}/damage/info/a.md5sums", b"0" * 32 + b"  etc/hostname\n")
    end = census({"status": path}, 2)
    o = end.outputs
    json_of = lambda name, e: (name, "json", e.output)
    return [
        ("split", [], {"status": path, "chunks": 3}),
        ("parse", [o["plan"]], {"chunk": 1}),
        ("files", [o["plan"]], {"chunk": 1}),
        ("single", [o["plan"]], None),
        ("merge-packages", [("p", "bytes", e.output) for e in o["parts"]], None),
        ("rank", [("m", "bytes", o["merged"].output)], None),
        ("merge-files", [json_of("f", e) for e in o["files"]], None),
        ("compare", [json_of("r", o["ranked"]), json_of("f", o["counted"]), json_of("s", o["single"])], None),
        ("report", [json_of("r", o["ranked"]), json_of("f", o["counted"]), json_of("c", o["compared"]), o["plan"]], None),
    ]


def check_damage(folder, count):
    """Each handler on damaged inputs: any end but a crash; a sanitizer watches."""
    for handler, inputs, value in handler_runs(folder):
        attempt("debian", handler, inputs, value, mutate=f"{random.Random(handler).randrange(1 << 30)}:{count}")


def check_machine():
    status = "/var/lib/dpkg/status"
    if not os.path.exists(status):
        print("skipped: this machine has no dpkg database")
        return
    times = []
    end = census({}, times=times)
    check(end.status == "done", f"this machine: {end}")
    if end.status != "done":
        return
    difference = oracle.compare(
        end.json(), oracle.packages(open(status, "rb").read()), oracle.files("/var/lib/dpkg/info") if end.json()["sample"] == 1000 else {}
    )
    check(not difference, f"this machine: {difference}")
    print(
        f"this machine: {end.json()['packages']} packages, {end.json()['filesChecked']} files checked, {end.json()['filesAltered']} altered"
    )
    for stage, wall, cpu, longest, count in times:
        print(f"  {stage:16} {count:3} tasks  {wall:8.3f} s in all  {cpu:8.3f} s CPU  longest {longest:.3f} s")
    began = time.monotonic()
    ends = run_example({})
    if ends:
        last = max(ends, key=lambda e: e[2].wall)
        print(f"  the example with 2 slots: {time.monotonic() - began:.1f} s; longest {last[0]}, {last[2].wall:.1f} s from {last[1]:.1f} s")


def run_example(parameters, slots=2):
    """Examples/package-census.yaml by the plainest executor: [(task, begin, End)] in order of their ends, or None without PyYAML."""
    try:
        import yaml
    except ImportError:
        return None
    with open(os.path.join(os.path.dirname(__file__), "../../Examples/package-census.yaml")) as file:
        example = yaml.safe_load(file)
    values = {name: parameters.get(name, p["default"]) for name, p in example["parameters"].items()}
    filled = lambda v: values[v[9:-1]] if isinstance(v, str) and v.startswith("${params.") else v
    rank = {"critical": 0, "high": 1, "normal": 2, "low": 3}
    waiting = sorted(example["tasks"], key=lambda t: rank[t.get("priority", "normal")])
    ended, running, result, began = {}, {}, [], time.monotonic()
    with ThreadPoolExecutor(slots) as pool:
        while waiting or running:
            for task in [t for t in waiting if all(d in ended for d in t.get("dependencies", []))][: slots - len(running)]:
                waiting.remove(task)
                value = {k: filled(v) for k, v in task["input"].items()} if "input" in task else None
                kinds = {1: "bytes", 0: "json"}
                inputs = [(d, kinds[ended[d].output[:1] != b"{"], ended[d].output) for d in task.get("dependencies", [])]
                job = pool.submit(attempt, "debian", task["handler"].split("/")[1], inputs, value)
                running[job] = (task["id"], time.monotonic() - began)
            for job in wait(running, return_when=FIRST_COMPLETED)[0]:
                name, begin = running.pop(job)
                ended[name] = job.result()
                result.append((name, begin, ended[name]))
                if ended[name].status != "done":
                    waiting = []
    return result


def check_example(folder):
    content = CONTENTS["dependencies"] + b"\n\n" + CONTENTS["duplicates"]
    path = write(f"{folder}/example/status", content)
    ends = run_example({"status": path})
    if ends is None:
        print("skipped: without PyYAML (apt-get install python3-yaml) the example is not run")
        return
    name, _, end = ends[-1]
    check((name, end.status) == ("report", "done"), f"the example: {name} {end}")
    check(end.status != "done" or not oracle.compare(end.json(), oracle.packages(content)), "the example's report")
    name, _, end = run_example({"status": f"{folder}/none"})[-1]
    check((name, end.error) == ("plan", "no-dpkg"), f"the example without a database: {name} {end}")


def run_all(thorough):
    with tempfile.TemporaryDirectory() as folder:
        check_contents(folder)
        check_random(folder, 60 if thorough else 12)
        check_files(folder)
        check_refusals(folder)
        check_example(folder)
        check_damage(folder, 3000 if thorough else 300)


def run_together():
    """Each handler in eight threads at once."""
    with tempfile.TemporaryDirectory() as folder:
        for handler, inputs, value in handler_runs(folder):
            end = attempt("debian", handler, inputs, value, together=8)
            check(end.status == "done", f"{handler} in 8 threads: {end}")


def run_few():
    """What is worth its time under valgrind."""
    with tempfile.TemporaryDirectory() as folder:
        check_files(folder)
        check_damage(folder, 20)
