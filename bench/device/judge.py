"""The figures of a GPU as a table, and each that has an aim held against it.

`python3 judge.py FILE` does so again with what peer.py left; it needs neither a GPU nor PyTorch.
"""

import json
import re
import sys

ROWS_OF_A_GALLERY = 1_000_000


def searched(figure):
    """Name, rows and probes of a search."""
    found = re.fullmatch(r"search (\w+), (\d+) rows, (\d+) probes", figure["what"])
    return found and (found[1], int(found[2]), int(found[3]))


def embedded(figure):
    """Name and batch of a network."""
    found = re.fullmatch(r"(.+), batch (\d+)", figure["what"])
    return found and (found[1], int(found[2]))


def rate(figure):
    return figure["amount"] / figure["median_ms"] * 1e3


def aims(figure, copy):
    """What is aimed at on one H200, each with what was reached and what is wanted: a bound from
    above where that is negative. Nothing is reached where the peer's figure is not there."""
    ratio = {way: ms / figure["median_ms"] for way, ms in figure["peers_ms"].items()}
    ways = {"search": ["matmul+topk fp16", "matmul+topk int8"],
            "network": ["eager fp16", "compiled fp16"]}

    def fastest(kind):
        return min(ratio[way] for way in ways[kind]) if set(ways[kind]) <= set(ratio) else None

    if found := searched(figure):
        name, rows, probes = found
        # Galleries are whole tiles: a few rows less than their name says.
        size = round(rows / ROWS_OF_A_GALLERY, 1)
        return {
            ("whole", 1, 1): [("ms", figure["median_ms"], -0.125),
                              ("of the copy", rate(figure) / copy, 0.85),
                              ("× PyTorch", fastest("search"), 2.5)],
            ("split", 1, 1): [("ms", figure["median_ms"], -0.045)],
            ("whole", 10, 64): [("ms", figure["median_ms"], -1.4)],
            ("whole", 1, 1024): [("comparisons/s", rate(figure), 1e12)],
            ("split", 1, 1024): [("comparisons/s", rate(figure), 1e12)],
        }.get((name, size, probes), [])
    if found := embedded(figure):
        return {
            ("iresnet50", 64): [("faces/s", rate(figure), 30_000),
                                ("× compiled", ratio.get("compiled fp16"), 1.0)],
            ("iresnet50", 256): [("faces/s", rate(figure), 30_000),
                                 ("× compiled", ratio.get("compiled fp16"), 1.0)],
            ("shipped embedder", 256): [("× PyTorch", fastest("network"), 1.2)],
        }.get(found, [])
    found = re.fullmatch(r"crop to candidates, .+, (\d+) rows", figure["what"])
    if found and round(int(found[1]) / ROWS_OF_A_GALLERY, 1) == 1:
        return [("ms p99", figure["p99_ms"], -1.0)]
    return []


def judged(what, held, wanted):
    bound = f"{'≤' if wanted < 0 else '≥'} {abs(wanted):g} {what}"
    if held is None:
        return f"{bound}: not measured"
    met = held <= -wanted if wanted < 0 else held >= wanted
    return f"{bound}: {held:.4g} {'met' if met else 'NOT met'}"


def table(report):
    """The report as Markdown."""
    copy = report["ceilings"]["copy_bytes_per_s"]
    product = report["ceilings"]["product_fp16_per_s"]
    lines = [f"# {report['device']}, {report['date']}", "",
             f"Driver {report['driver']}; {report['detail']}; PyTorch {report['torch']}; "
             f"{report['rounds']} rounds.",
             f"Ceilings, by PyTorch in the same call: copy {copy:.3e} bytes/s, "
             f"fp16 product {product:.3e} operations/s.", "",
             "| what | median ms | p99 ms | per second | of the copy | PyTorch ms | aim |",
             "|---|---|---|---|---|---|---|"]
    for figure in report["figures"]:
        share = f"{100 * rate(figure) / copy:.0f} %" if figure["unit"] == "bytes" else ""
        beside = ", ".join(f"{way} {ms:.3f} ({ms / figure['median_ms']:.2f} ×)"
                           for way, ms in figure["peers_ms"].items())
        aim = [] if report["is_smoke"] else [judged(*one) for one in aims(figure, copy)]
        lines.append(f"| {figure['what']} | {figure['median_ms']:.4f} | {figure['p99_ms']:.4f} | "
                     f"{rate(figure):.3e} {figure['unit']} | {share} | {beside} | "
                     f"{'; '.join(aim)} |")
    lines += ["", "Checked in the same call, before anything was timed:", ""]
    return "\n".join(lines + [f"- {check}" for check in report["checks"]]) + "\n"


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as report:
        print(table(json.load(report)), end="")
