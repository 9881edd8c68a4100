"""Finds public symbols without documentation in the symbol graphs of modules, which lie in a folder of their name each.

    symbols.py FOLDER MODULE...

Exits 0, or 1 with each of them and its place.
"""
import json
import pathlib
import sys


def is_made(symbol):
    """By a macro or the compiler: it stands in no file."""
    return "location" not in symbol


def undocumented(folder, module):
    total, missing = 0, []
    for file in sorted((folder / module).glob("*.symbols.json")):
        for symbol in json.loads(file.read_text())["symbols"]:
            if is_made(symbol):
                continue
            path = symbol["location"]["uri"].removeprefix("file://")
            # What Millrace hands on is told by the modules that it is of.
            if f"/Sources/{module}/" not in path:
                continue
            total += 1
            if not symbol.get("docComment", {}).get("lines"):
                missing.append(f"{path}:{symbol['location']['position']['line'] + 1}: {'.'.join(symbol['pathComponents'])} is not documented")
    return total, missing


def main(folder, modules):
    faults = []
    for module in modules:
        total, missing = undocumented(pathlib.Path(folder), module)
        if total == 0:
            faults.append(f"{module}: no public symbol was found")
        faults += missing
        print(f"{module}: {total} public symbols, {len(missing)} without documentation")
    sys.exit("\n".join(faults) if faults else 0)


main(sys.argv[1], sys.argv[2:])
