"""Merges the coverage of all benches and holds it against the promise: lines and toggles of every
module together, at least 95 %. A point counts once, however often its module stands in a design and
in however many benches; it is covered when one of them reached it.

What is left out stands in coverage.txt, each line with its reason; a line that leaves nothing out
is a fault, so that the list cannot outlive what it argues."""

import pathlib
import re
import sys
from collections import defaultdict

HERE = pathlib.Path(__file__).parent
PROMISED_PERCENT = 95.0


def points(path):
    """(kind, module, line, what) and count of each point of one file."""
    for line in pathlib.Path(path).read_text(errors="replace").splitlines():
        found = re.match(r"C '(.*)' (\d+)$", line)
        if not found:
            continue
        fields = dict(
            part.split("\x02", 1) for part in found.group(1).split("\x01") if "\x02" in part
        )
        kind = fields.get("page", "").split("/")[0].removeprefix("v_")
        module = pathlib.Path(fields.get("f", "")).stem
        yield (kind, module, int(fields.get("l", 0)), fields.get("o", "")), int(found.group(2))


def exclusions():
    """Module, pattern of the point, and reason."""
    found = []
    for line in (HERE / "coverage.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            kind, module, pattern, reason = line.split(None, 3)
            found.append((kind, module, re.compile(pattern), reason))
    return found


def main(paths):
    counts = defaultdict(int)
    for path in paths:
        for point, count in points(path):
            if point[1].startswith("pc_"):
                counts[point] += count
    excluded = exclusions()
    used = set()
    held, total, missed = defaultdict(int), defaultdict(int), []
    for point in sorted(counts):
        kind, module, line, what = point
        kind = "toggle" if kind == "toggle" else "line"
        left_out = [
            number
            for number, (of_kind, of_module, pattern, _) in enumerate(excluded)
            if of_kind == kind and of_module in (module, "*") and pattern.fullmatch(what)
        ]
        used.update(left_out)
        if left_out:
            continue
        total[kind, module] += 1
        if counts[point]:
            held[kind, module] += 1
        else:
            missed.append(f"  {kind} {module}.sv:{line} {what}")
    fault = False
    for kind in ("line", "toggle"):
        points_held = sum(held[key] for key in held if key[0] == kind)
        points_total = sum(total[key] for key in total if key[0] == kind)
        percent = 100.0 * points_held / points_total if points_total else 0.0
        print(f"coverage: {kind:6} {percent:6.2f} % of {points_total} points")
        for key in sorted(key for key in total if key[0] == kind and held[key] < total[key]):
            print(f"    {key[1]:20} {100.0 * held[key] / total[key]:6.2f} % of {total[key]}")
        fault |= percent < PROMISED_PERCENT
    for number, (kind, module, pattern, _) in enumerate(excluded):
        if number not in used:
            print(f"coverage.txt leaves out {kind} {module} {pattern.pattern}, which is nothing")
            fault = True
    if fault:
        print("\n".join(["not covered:", *missed[:200]]))
    return 1 if fault else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
