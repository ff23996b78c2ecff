"""PyTorch beside the CUDA backend: the same work on the same GPU, in the same call.

Reads what `portcullis-bench cuda --json` wrote. Times matmul + topk (fp16 and int8) for each search
in it, and for each network the very steps of ours with drawn weights, fp16, channels last, eager
and compiled. Times are the device's own, warm, over random values and several buffers in turn;
ceilings (copy, matrix product) are measured here as well. judge.py holds it all against the aims.

The JSON and the table are written after each figure, what is slowest comes last, and a file that
holds some of PyTorch's figures is gone on with: a call that is cut short loses one figure.
"""

import argparse
import json
import os
import re
import subprocess

import torch
from torch import nn
from torch.nn import functional

from judge import embedded, searched, table


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
        # The int8 product takes sizes that are multiples of 8, and more than 16 rows: galleries
        # are cut by a few rows, fewer probes are filled up.
        galleries = [torch.randint(-127, 128, (rows // 8 * 8, 512), dtype=torch.int8, device="cuda")
                     for _ in range(copies)]
        many = max(probes, 32)
        probe = torch.randint(-127, 128, (many, 512), dtype=torch.int8, device="cuda")
        return timed(lambda round: torch._int_mm(probe, galleries[round % copies].t())
                     .topk(10, dim=1), rounds)
    galleries = [torch.randn(rows, 512, dtype=torch.float16, device="cuda")
                 for _ in range(copies)]
    probe = torch.randn(probes, 512, dtype=torch.float16, device="cuda")
    return timed(lambda round: (probe @ galleries[round % copies].t()).topk(10, dim=1), rounds)


class Step(nn.Module):
    """One step of a program of ours, in PyTorch's words; src/ops/ says what each computes."""

    def __init__(self, step, shapes):
        super().__init__()
        self.op, self.factor = step["op"], step["factor"]
        height, width, inputs = shapes[step["inputs"][0]]
        outputs = shapes[step["output"]][2]
        top, left, bottom, right = step["pad"]
        self.uneven = None if (top, left) == (bottom, right) else (left, right, top, bottom)
        window = {"kernel_size": tuple(step["kernel"]), "stride": tuple(step["stride"]),
                  "padding": (top, left) if self.uneven is None else 0}
        if self.op == "conv2d":
            self.core = nn.Conv2d(inputs, outputs, **window)
        elif self.op == "depthwise":
            self.core = nn.Conv2d(inputs, outputs, groups=inputs, **window)
        elif self.op == "dense":
            self.core = nn.Linear(height * width * inputs, outputs)
        elif self.op == "max_pool":
            self.core = nn.MaxPool2d(**window)
        elif self.op == "affine":
            self.factors = nn.Parameter(torch.ones(1, inputs, 1, 1))
            self.shifts = nn.Parameter(torch.zeros(1, inputs, 1, 1))
        curves = {"identity": nn.Identity, "relu": nn.ReLU, "sigmoid": nn.Sigmoid,
                  "prelu": lambda: nn.PReLU(outputs)}
        self.curve = curves[step["activation"]]()

    def forward(self, x, *rest):
        if self.op == "concat":
            return torch.cat((x, *rest), 1)
        if self.op == "upsample":
            return functional.interpolate(x, scale_factor=self.factor, mode="nearest")
        if self.op == "softmax":
            return x.softmax(1)
        if self.op == "global_average":
            return x.mean((2, 3), keepdim=True)
        if self.op == "scale":
            return x * rest[0]
        if self.op == "add":
            return self.curve(x + rest[0])
        if self.op == "affine":
            return self.curve(torch.addcmul(self.shifts, x, self.factors))
        if self.op == "dense":
            # Channels last already: the values lie as they are read.
            y = self.core(x.permute(0, 2, 3, 1).flatten(1))
            return self.curve(y[:, :, None, None])
        if self.uneven is not None:
            x = functional.pad(x, self.uneven, value=-torch.inf if self.op == "max_pool" else 0)
        y = self.core(x)
        return self.curve(y + rest[0] if rest else y)


class Network(nn.Module):
    """The steps of a program with drawn weights: the shape decides the time."""

    def __init__(self, drawn):
        super().__init__()
        self.input, self.outputs = drawn["input"], drawn["outputs"]
        self.steps = nn.ModuleList(Step(step, drawn["shapes"]) for step in drawn["steps"])
        self.places = [(tuple(step["inputs"]), step["output"]) for step in drawn["steps"]]
        last = {held: at for at, (inputs, _) in enumerate(self.places) for held in inputs}
        self.done = [[held for held in last if last[held] == at and held not in self.outputs]
                     for at in range(len(self.places))]

    def forward(self, x):
        held = {self.input: x}
        for step, (inputs, output), done in zip(self.steps, self.places, self.done):
            held[output] = step(*(held[place] for place in inputs))
            for place in done:
                del held[place]
        return [held[place] for place in self.outputs]


def network(drawn, batch, rounds, compiled):
    net = Network(drawn).eval().half().cuda().to(memory_format=torch.channels_last)
    if compiled:
        torch._dynamo.reset()
        net = torch.compile(net, mode="max-autotune")
    height, width, channels = drawn["shapes"][drawn["input"]]
    inputs = [torch.rand(batch, channels, height, width, dtype=torch.float16, device="cuda")
              .to(memory_format=torch.channels_last) for _ in range(3)]
    with torch.inference_mode():
        return timed(lambda round: net(inputs[round % 3]), rounds)


def ceilings(rounds, smoke):
    """Bytes a second of a copy, operations a second of a product."""
    many = 2 ** 26 if smoke else 2 ** 30
    a, b = (torch.randint(0, 100, (many,), dtype=torch.int8, device="cuda") for _ in range(2))
    copy = 2 * many / timed(lambda _: b.copy_(a), rounds) * 1e3
    edge = 1024 if smoke else 8192
    x, y = (torch.randn(edge, edge, dtype=torch.float16, device="cuda") for _ in range(2))
    product = 2 * edge ** 3 / timed(lambda _: x @ y, rounds) * 1e3
    return {"copy_bytes_per_s": copy, "product_fp16_per_s": product}


def peers(figure, networks, rounds):
    """What PyTorch does for the same: each way with the work that times it."""
    if found := searched(figure):
        _, rows, probes = found
        if rows * probes * 4 > 40e9:
            return []  # the score matrix would not fit beside the gallery
        return [(f"matmul+topk {kind}", lambda kind=kind: search(rows, probes, rounds, kind))
                for kind in ("fp16", "int8")]
    if found := embedded(figure):
        name, batch = found
        drawn = networks[name]
        return [("eager fp16", lambda: network(drawn, batch, rounds, False)),
                ("compiled fp16", lambda: network(drawn, batch, rounds, True))]
    return []


def write(path, text):
    """In one step: whoever ends this in between leaves the file of before."""
    aside = f"{path}.new"
    with open(aside, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(aside, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", required=True, help="the JSON, which is added to")
    parser.add_argument("--table", required=True, help="the Markdown file that is written")
    parser.add_argument("--date", help="of our figures; needed once")
    parser.add_argument("--only", default="", help="a pattern: PyTorch beside these figures alone")
    asked = parser.parse_args()
    with open(asked.ours, encoding="utf-8") as file:
        report = json.load(file)
    rounds = 5 if report["is_smoke"] else 50
    driver = subprocess.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
                            capture_output=True, text=True, check=True).stdout.split()[0]
    report["date"] = asked.date or report["date"]
    report.update(driver=driver, torch=torch.__version__)
    if "ceilings" not in report:
        report["ceilings"] = ceilings(rounds, report["is_smoke"])

    def keep():
        write(asked.ours, json.dumps(report, indent=1))
        write(asked.table, table(report))

    work = []
    for figure in report["figures"]:
        figure.setdefault("peers_ms", {})
        if re.search(asked.only, figure["what"]):
            work += [(figure, *way) for way in peers(figure, report["networks"], rounds)
                     if way[0] not in figure["peers_ms"]]
    keep()
    # A compiler that tries everything takes minutes for each network.
    for figure, way, run in sorted(work, key=lambda item: item[1].startswith("compiled")):
        figure["peers_ms"][way] = run()
        torch.cuda.empty_cache()
        print(f"{figure['what']}: {way} {figure['peers_ms'][way]:.4f} ms", flush=True)
        keep()
    print(table(report))


if __name__ == "__main__":
    main()
