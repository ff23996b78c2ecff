"""PyTorch beside the CUDA backend: the same work on the same GPU, in the same call.

Reads what `portcullis-bench cuda --json` wrote, times matmul + topk (fp16 and int8) for each search
in it and an iresnet in fp16, channels last, compiled, for every batch in it, adds driver and date,
writes the JSON back and a table beside it. Times are the device's own, warm, over random values and
several buffers in turn; ceilings (copy, matrix product) are measured here as well.
"""

import argparse
import json
import re
import subprocess

import torch
from torch import nn

# What is aimed at on one H200: the end of a name in our figures, milliseconds or a rate.
TARGETS = [
    (r"^search whole, \d{6,7} rows, 1 probes$", "ms", 0.125),
    (r"^search whole, \d{8} rows, 64 probes$", "ms", 1.4),
    (r"^search split, \d{6,7} rows, 1 probes$", "ms", 0.045),
    (r"rows, 1024 probes$", "rate", 1.0e12),
    (r"^iresnet50, batch (64|256)$", "rate", 30_000),
]


def timed(work, rounds):
    """Median milliseconds of `work(round)` by the device's marks, after a warm-up."""
    for round in range(5):
        work(round)
    marks = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True))
             for _ in range(rounds)]
    for round, (begin, end) in enumerate(marks):
        begin.record()
        work(round)
        end.record()
    torch.cuda.synchronize()
    taken = sorted(begin.elapsed_time(end) for begin, end in marks)
    return taken[len(taken) // 2]


def search(rows, probes, rounds, kind):
    """matmul + topk over galleries in turn, the whole score matrix written, as one does."""
    copies = 3 if rows < 2_000_000 else 1
    if kind == "int8":
        galleries = [torch.randint(-127, 128, (rows, 512), dtype=torch.int8, device="cuda")
                     for _ in range(copies)]
        # The int8 product takes more than 16 rows: fewer probes are filled up.
        many = max(probes, 32)
        probe = torch.randint(-127, 128, (many, 512), dtype=torch.int8, device="cuda")
        return timed(lambda round: torch._int_mm(probe, galleries[round % copies].t())
                     .topk(10, dim=1), rounds)
    galleries = [torch.randn(rows, 512, dtype=torch.float16, device="cuda")
                 for _ in range(copies)]
    probe = torch.randn(probes, 512, dtype=torch.float16, device="cuda")
    return timed(lambda round: (probe @ galleries[round % copies].t()).topk(10, dim=1), rounds)


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.first = nn.Conv2d(inputs, outputs, 3, 1, 1)
        self.curve = nn.PReLU(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, stride, 1)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x):
        return self.second(self.curve(self.first(self.norm(x)))) + self.shortcut(x)


def iresnet(depth):
    """As bench/src/cuda/iresnet.rs: batch norms after convolutions are folded."""
    blocks = {18: [2, 2, 2, 2], 50: [3, 4, 14, 3], 100: [3, 13, 30, 3]}[depth]
    layers, inputs = [nn.Conv2d(3, 64, 3, 1, 1), nn.PReLU(64)], 64
    for stage, many in enumerate(blocks):
        for block in range(many):
            layers.append(Block(inputs, 64 << stage, 2 if block == 0 else 1))
            inputs = 64 << stage
    layers += [nn.BatchNorm2d(512), nn.Flatten(), nn.Linear(512 * 7 * 7, 512)]
    net = nn.Sequential(*layers).eval().half().cuda()
    return net.to(memory_format=torch.channels_last)


def network(depth, batch, rounds, compiled):
    net = iresnet(depth)
    if compiled:
        net = torch.compile(net, mode="max-autotune")
    faces = [torch.rand(batch, 3, 112, 112, dtype=torch.float16, device="cuda")
             .to(memory_format=torch.channels_last) for _ in range(3)]
    with torch.inference_mode():
        return timed(lambda round: net(faces[round % 3]), rounds)


def ceilings(rounds, smoke):
    """Bytes a second of a copy, operations a second of a product."""
    many = 2 ** 26 if smoke else 2 ** 30
    a, b = (torch.randint(0, 100, (many,), dtype=torch.int8, device="cuda") for _ in range(2))
    copy = 2 * many / timed(lambda _: b.copy_(a), rounds) * 1e3
    edge = 1024 if smoke else 8192
    x, y = (torch.randn(edge, edge, dtype=torch.float16, device="cuda") for _ in range(2))
    product = 2 * edge ** 3 / timed(lambda _: x @ y, rounds) * 1e3
    return {"copy_bytes_per_s": copy, "product_fp16_per_s": product}


def peers(figure, rounds):
    """What PyTorch needs for the same, in milliseconds, by way."""
    found = re.match(r"search \w+, (\d+) rows, (\d+) probes", figure["what"])
    if found:
        rows, probes = map(int, found.groups())
        if rows * probes * 4 > 40e9:
            return {}  # the score matrix would not fit beside the gallery
        return {f"matmul+topk {kind}": search(rows, probes, rounds, kind)
                for kind in ("fp16", "int8")}
    found = re.match(r"iresnet(\d+), batch (\d+)", figure["what"])
    if found:
        depth, batch = map(int, found.groups())
        return {"eager fp16": network(depth, batch, rounds, False),
                "compiled fp16": network(depth, batch, rounds, True)}
    return {}


def target(figure):
    rate = figure["amount"] / figure["median_ms"] * 1e3
    for name, kind, wanted in TARGETS:
        if re.search(name, figure["what"]):
            held = figure["median_ms"] if kind == "ms" else rate
            met = held <= wanted if kind == "ms" else held >= wanted
            return f"{'≤' if kind == 'ms' else '≥'} {wanted:g} {'met' if met else 'NOT met'}"
    return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", required=True)
    parser.add_argument("--table", required=True)
    parser.add_argument("--date", required=True)
    parser.add_argument("--smoke", action="store_true")
    asked = parser.parse_args()
    with open(asked.ours, encoding="utf-8") as file:
        report = json.load(file)
    rounds = 5 if asked.smoke else 50
    driver = subprocess.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
                            capture_output=True, text=True, check=True).stdout.strip()
    report.update(date=asked.date, driver=driver, torch=torch.__version__,
                  ceilings=ceilings(rounds, asked.smoke))
    lines = [f"# {report['device']}, {asked.date}", "",
             f"Driver {driver}; {report['detail']}; PyTorch {torch.__version__}.", "",
             "| what | median ms | p99 ms | per second | of the copy | PyTorch ms | aim |",
             "|---|---|---|---|---|---|---|"]
    copy = report["ceilings"]["copy_bytes_per_s"]
    for figure in report["figures"]:
        figure["peers_ms"] = peers(figure, rounds)
        torch.cuda.empty_cache()
        rate = figure["amount"] / figure["median_ms"] * 1e3
        share = f"{100 * rate / copy:.0f} %" if figure["unit"] == "bytes" else ""
        beside = ", ".join(f"{way} {ms:.3f} ({ms / figure['median_ms']:.2f} ×)"
                           for way, ms in figure["peers_ms"].items())
        lines.append(f"| {figure['what']} | {figure['median_ms']:.4f} | {figure['p99_ms']:.4f} | "
                     f"{rate:.3e} {figure['unit']} | {share} | {beside} | "
                     f"{'' if asked.smoke else target(figure)} |")
    with open(asked.ours, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=1)
    with open(asked.table, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
