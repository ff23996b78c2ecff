"""Holds hw/levels.f against hw/rtl and hw/tb: one module per file and named like it, listed once,
using only modules of lower levels, with a bench of its own. Ends with status 1 and every fault."""

import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent


def levels():
    """Path of each listed file, with its level."""
    found, level = {}, None
    for line in (HERE / "levels.f").read_text().splitlines():
        heading = re.match(r"// level (\d+):", line)
        if heading:
            level = int(heading.group(1))
        elif line.startswith("rtl/"):
            found[line] = level
    return found


def faults_of(path, level, level_of):
    """What is wrong with one file."""
    text = (HERE / path).read_text()
    name = pathlib.Path(path).stem
    code = re.sub(r"//.*", "", text)
    declared = re.findall(r"^(?:module|package) (\w+)", code, re.M)
    if declared != [name]:
        yield f"{path}: declares {declared}, must be {name} alone"
    if "`default_nettype none" not in text:
        yield f"{path}: lacks `default_nettype none"
    if f"// Level {level}" not in text:
        yield f"{path}: its head does not say \"Level {level}\", as levels.f does"
    for used in set(re.findall(r"\b(pc_\w+)\s*(?:#\s*\(|i_\w+\s*\(|::)", code)):
        if used != name and level_of.get(used, level) >= level:
            yield f"{path}: uses {used}, which is not of a lower level"
    if level > 0 and not (HERE / "tb" / name / "bench.cpp").exists():
        yield f"{path}: has no bench tb/{name}/bench.cpp"


def main():
    listed = levels()
    level_of = {pathlib.Path(path).stem: level for path, level in listed.items()}
    present = {f"rtl/{file.name}" for file in (HERE / "rtl").iterdir()}
    faults = [f"{path}: not in levels.f" for path in sorted(present - set(listed))]
    faults += [f"{path}: in levels.f, and not there" for path in sorted(set(listed) - present)]
    for path in sorted(present & set(listed)):
        faults += faults_of(path, listed[path], level_of)
    benches = {folder.name for folder in (HERE / "tb").iterdir() if folder.name != "shared"}
    faults += [f"tb/{name}: the bench of no module" for name in sorted(benches - set(level_of))]
    for fault in faults:
        print(f"levels: {fault}", file=sys.stderr)
    if not faults:
        print(f"levels: {len(listed)} files, each in its level and with its bench")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
