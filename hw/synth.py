"""Synthesises the modules for Xilinx UltraScale+ and Lattice ECP5, places and routes the core on
ECP5, and prints the tables of hw/README.md. Fails when the core with two probes misses 100 MHz
there."""

import argparse
import json
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
PROMISED_MHZ = 100.0
# What stands in the table: module and parameters.
XILINX = [
    ("pc_parser", {}),
    ("pc_dot_pair", {"PACKED": 1}),
    ("pc_lane", {"BEST": 16}),
    ("pc_top_k", {"K": 16}),
    ("pc_facts", {"PROBES": 2}),
    ("pc_norms", {}),
    ("pc_registers", {"PROBES": 2}),
    ("pc_results", {"PROBES": 2, "BEST": 16}),
    ("pc_core", {"PROBES": 2, "BEST": 8}),
    ("pc_core", {"PROBES": 4, "BEST": 16}),
]
ECP5 = [
    ("pc_parser", {}),
    ("pc_dot_pair", {"PACKED": 0}),
    ("pc_lane", {"BEST": 8}),
    ("pc_top_k", {"K": 8}),
    ("pc_facts", {"PROBES": 2}),
    ("pc_norms", {}),
    ("pc_registers", {"PROBES": 2}),
    ("pc_results", {"PROBES": 2, "BEST": 8}),
]
# The core that is also placed and routed, with few pins around it, as no package has a thousand.
ROUTED = [("pc_core_fit", {"PROBES": 2, "BEST": 8, "PACKED": 0})]


def sources():
    lines = (HERE / "levels.f").read_text().splitlines()
    return [line for line in lines if line.startswith("rtl/")] + ["synth/pc_core_fit.sv"]


def run(command, log):
    with open(log, "w") as file:
        status = subprocess.run(command, cwd=HERE, stdout=file, stderr=subprocess.STDOUT).returncode
    return status


def synthesise(arguments, family, module, parameters):
    """Cells by kind; the netlist lies beside the log."""
    settings = [f"{key.lower()}{value}" for key, value in parameters.items()]
    name = "_".join([family, module, *settings])
    build = pathlib.Path(arguments.build)
    (HERE / build).mkdir(parents=True, exist_ok=True)
    settings = " ".join(f"-chparam {key} {value}" for key, value in parameters.items())
    command = {
        "xcup": f"synth_xilinx -family xcup -flatten -top {module}",
        "ecp5": f"synth_ecp5 -top {module} -json {build}/{name}.json",
    }[family]
    script = (
        f"read_verilog -sv {' '.join(sources())}; "
        f"hierarchy -check -top {module} {settings}; rename -top {module}; {command}; "
        f"tee -o {build}/{name}.stat stat"
    )
    if run([arguments.yosys, "-q", "-p", script], HERE / build / f"{name}.log") != 0:
        sys.exit(f"synth: {name} failed; see hw/{build}/{name}.log")
    cells = {}
    for line in (HERE / build / f"{name}.stat").read_text().splitlines():
        for pattern in (r"\s+(\d+)\s+([A-Z]\w+)$", r"\s+([A-Z]\w+)\s+(\d+)$"):
            found = re.match(pattern, line)
            if found:
                count, kind = sorted(found.groups(), key=lambda part: not part.isdigit())
                cells[kind] = cells.get(kind, 0) + int(count)
    return name, cells


def total(cells, pattern):
    return sum(count for kind, count in cells.items() if re.fullmatch(pattern, kind))


def words(parameters):
    return ", ".join(f"{key} = {value}" for key, value in parameters.items()) or "as it stands"


def xilinx(arguments):
    print("| module | parameters | DSP48E2 | LUT | LUT as memory | FF | CARRY | BRAM36 |")
    print("|---|---|---|---|---|---|---|---|")
    for module, parameters in XILINX:
        _, cells = synthesise(arguments, "xcup", module, parameters)
        brams = total(cells, r"RAMB36E2") + total(cells, r"RAMB18E2") / 2
        print(
            f"| `{module}` | {words(parameters)} | {total(cells, 'DSP48E2')} "
            f"| {total(cells, r'LUT[1-6]|INV')} "
            f"| {total(cells, r'RAM(32|64|128|256|512).*|SRL.*')} "
            f"| {total(cells, r'FD.E')} | {total(cells, r'CARRY[48]')} | {brams:g} |",
            flush=True,
        )


def ecp5_row(module, parameters, cells, fmax):
    kinds = ["MULT18X18D", "LUT4", "CCU2C", "TRELLIS_DPR16X4", "DP16KD", "TRELLIS_FF"]
    counts = " | ".join(str(cells.get(kind, 0)) for kind in kinds)
    return f"| `{module}` | {words(parameters)} | {counts} | {fmax} |"


def ecp5(arguments):
    print("\n| module | parameters | MULT18X18D | LUT4 | CCU2C | DPR16X4 | DP16KD | FF | Fmax |")
    print("|---|---|---|---|---|---|---|---|---|")
    for module, parameters in ECP5:
        _, cells = synthesise(arguments, "ecp5", module, parameters)
        print(ecp5_row(module, parameters, cells, "–"), flush=True)
    missed = False
    for module, parameters in ROUTED:
        name, cells = synthesise(arguments, "ecp5", module, parameters)
        build = pathlib.Path(arguments.build)
        command = [
            arguments.nextpnr, "--um5g-85k", "--package", "CABGA756", "--speed", "8",
            "--json", f"{build}/{name}.json", "--report", f"{build}/{name}.report.json",
            "--freq", str(PROMISED_MHZ), "--seed", "1", "--timing-allow-fail",
            "--lpf-allow-unconstrained",
        ]
        if run(command, HERE / build / f"{name}.nextpnr.log") != 0:
            sys.exit(f"synth: place and route of {name} failed; see hw/{build}/{name}.nextpnr.log")
        report = json.loads((HERE / build / f"{name}.report.json").read_text())
        mhz = min(clock["achieved"] for clock in report["fmax"].values())
        missed |= mhz < PROMISED_MHZ
        print(ecp5_row(module, parameters, cells, f"{mhz:.1f} MHz"), flush=True)
    return missed


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--yosys", default="yosys")
    parser.add_argument("--nextpnr", default="nextpnr-ecp5")
    parser.add_argument("--build", default="build/synth")
    parser.add_argument("--only", choices=["xcup", "ecp5"])
    arguments = parser.parse_args()
    if arguments.only != "ecp5":
        xilinx(arguments)
    if arguments.only != "xcup" and ecp5(arguments):
        sys.exit(f"synth: below {PROMISED_MHZ:g} MHz on ECP5")


if __name__ == "__main__":
    main()
