"""Holds a census that `make run` wrote against the oracle: report_check.py REPORT STATUS"""

import json
import sys

import oracle


def main(report_path, status_path):
    with open(report_path, encoding="utf-8") as file:
        report = json.load(file)
    with open(status_path, "rb") as file:
        expected = oracle.packages(file.read())
    different = [key for key in expected if report.get(key) != expected[key]]
    for key in different:
        print(f"{key}: the report has {report.get(key)!r}, the oracle {expected[key]!r}", file=sys.stderr)
    for key in ("filesChecked", "filesAltered"):
        if not isinstance(report.get(key), int) or report[key] < 0:
            different.append(key)
            print(f"{key}: {report.get(key)!r} is no count", file=sys.stderr)
    if different:
        return 1
    print(f"{report_path}: {report['packages']} packages as the oracle counts them: {', '.join(expected)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
