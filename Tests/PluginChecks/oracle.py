"""The census once more, written in Python from its description: what the plugin's reports are held against."""

import hashlib
import os
import re
import stat
from collections import Counter

TOP = 15


def stanzas(content):
    fields, last = {}, None
    for line in content.split(b"\n"):
        if not line.strip(b" \t\r"):
            if fields:
                yield fields
            fields, last = {}, None
        elif line[:1] in (b" ", b"\t"):
            if last in (b"depends", b"pre-depends"):
                fields[last] += b" " + line
        elif b":" in line:
            name, value = line.split(b":", 1)
            last = name.strip(b" \t\r").lower()
            fields[last] = value
        else:
            fields.setdefault(b"", b"")
            last = None
    if fields:
        yield fields


def words(value):
    return [w for w in re.split(rb"[ \t\r\n]+", value) if w]


def bare(value):
    return value.strip(b" \t\r\n")[:4096]


def packages(content):
    kept = {}
    for s in stanzas(content):
        name = bare(s.get(b"package", b""))
        if name:
            kept[name, bare(s.get(b"architecture", b""))] = s
    installed = {}
    for key, s in kept.items():
        status = words(s.get(b"status", b""))
        if len(status) == 3 and status[2] == b"installed":
            installed[key] = s
    size = {}
    for key, s in installed.items():
        text = s.get(b"installed-size", b"0").strip(b" \t\r\n")
        number = int(text) if re.fullmatch(rb"[0-9]{1,4000}", text) else 0
        size[key] = number if number <= 1 << 36 else 0
    sections = Counter(bare(s.get(b"section", b"")).decode("utf-8", "replace") or "unknown" for s in installed.values())
    dependents = Counter()
    for s in installed.values():
        named = set()
        for field in (b"depends", b"pre-depends"):
            for alternative in re.split(rb"[,|]", s.get(field, b"")):
                name = re.split(rb"[ \t\r\n(:\[<]", alternative.strip(b" \t\r\n"), maxsplit=1)[0][:4096]
                if name:
                    named.add(name)
        dependents.update(named)
    show = lambda name: name.decode("utf-8", "replace")
    return {
        "packages": len(installed),
        "installedSizeKiB": sum(size.values()),
        "sections": dict(sections),
        "largest": [{"package": show(k[0]), "installedSizeKiB": v} for k, v in sorted(size.items(), key=lambda kv: (-kv[1], kv[0]))[:TOP]],
        "mostDependedUpon": [
            {"package": show(k), "dependents": v} for k, v in sorted(dependents.items(), key=lambda kv: (-kv[1], kv[0]))[:TOP]
        ],
    }


def files(info, root=""):
    """The counts of all files, every sum checked."""
    diverted = {}
    beside = os.path.join(os.path.dirname(info), "diversions")
    if os.path.exists(beside):
        lines = open(beside, "rb").read().split(b"\n")
        for i in range(0, len(lines) - 2, 3):
            diverted[lines[i]] = (lines[i + 1], lines[i + 2])
    real = lambda path, package: diverted[path][0] if path in diverted and diverted[path][1] != package else path
    found = Counter(
        {
            k: 0
            for k in (
                "paths",
                "pathsMissing",
                "bytesOnDisk",
                "filesListed",
                "filesChecked",
                "filesAltered",
                "filesMissing",
                "filesUnreadable",
                "linesMalformed",
                "bytesChecked",
            )
        }
    )
    altered = []
    for name in os.listdir(info):
        stem, extension = os.path.splitext(name)
        if not re.fullmatch(r"[A-Za-z0-9+.:~_-]+", stem) or extension not in (".list", ".md5sums"):
            continue
        package = stem.split(":")[0].encode()
        for line in open(os.path.join(info, name), "rb").read().split(b"\n"):
            if not line:
                continue
            if extension == ".list":
                path = real(line, package)
                if not path.startswith(b"/") or b"\0" in path or len(root) + len(path) >= 4096:
                    found["linesMalformed"] += 1
                    continue
                found["paths"] += 1
                try:
                    s = os.lstat(root.encode() + path)
                    found["bytesOnDisk"] += s.st_size if stat.S_ISREG(s.st_mode) else 0
                except OSError:
                    found["pathsMissing"] += 1
                continue
            match = re.fullmatch(rb"([0-9a-fA-F]{32})(?:  | \*)([^\0]+)", line)
            name = match[2].removeprefix(b"./").removeprefix(b"/") if match else b""
            if not name or len(name) >= 4095:
                found["linesMalformed"] += 1
                continue
            found["filesListed"] += 1
            path = real(b"/" + name, package)
            try:
                with open(root.encode() + path, "rb") as file:
                    content = hashlib.md5()
                    for block in iter(lambda: file.read(1 << 20), b""):
                        content.update(block)
                        found["bytesChecked"] += len(block)
                found["filesChecked"] += 1
                if content.hexdigest() != match[1].decode().lower():
                    found["filesAltered"] += 1
                    altered.append(path)
            except (FileNotFoundError, NotADirectoryError):
                found["filesMissing"] += 1
            except IsADirectoryError:
                found["filesChecked"] += 1
                found["filesAltered"] += 1
                altered.append(path)
    return {**found, "altered": [p.decode("utf-8", "replace") for p in sorted(altered)[:100]]}


def compare(report, *expected):
    """The members in which a report differs from what is expected of it."""
    wanted = {k: v for part in expected for k, v in part.items()}
    return {k: (report.get(k), v) for k, v in wanted.items() if report.get(k) != v}
