"""Shows that the proofs of hw/formal can fail: breaks what each of them proves, in a copy, and
wants the solver to find a way from reset to a violated assertion. A proof without a mutant is a
fault, as is a mutation whose text no longer stands in its module."""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
# Proof, module, what stands there, what the mutant says, and what that breaks.
MUTANTS = [
    ("stream_register", "pc_stream_register", "moving  = ready_i || !front_valid_q;",
     "moving  = 1'b1;", "an offered beat does not wait for the reader"),
    ("stream_fifo", "pc_stream_fifo",
     "written_q != {~read_q[PLACE_BITS], read_q[PLACE_BITS-1:0]};", "1'b1;",
     "a full queue takes one more"),
    ("top_k", "pc_top_k", "stays_q[k] <= score >= score_i;", "stays_q[k] <= score > score_i;",
     "among equal scores the later row stands ahead"),
    ("top_k", "pc_top_k", "above  = places_q[BITS*(k-1)+:BITS];",
     "above  = places_q[BITS*k+:BITS];", "who enters overwrites instead of moving down"),
    ("axi_lite", "pc_axi_lite", "aw_held_q && w_held_q && (!b_valid_q || bready_i);",
     "aw_held_q && w_held_q;", "a write's answer is overwritten by the next"),
    ("axi_lite", "pc_axi_lite", "ar_held_q && (!r_valid_q || rready_i);", "ar_held_q;",
     "a read's answer is overwritten by the next"),
    ("results", "pc_results", "room_take_i || (push && state_q != SENDS_BLOCKS);", "room_take_i;",
     "the answer to a finish packet takes no room"),
    ("parser", "pc_parser", "op_n    = pc_pkg::OP_FLUSH;", "op_n    = pc_pkg::OP_NONE;",
     "the block of a faulty packet is never ended"),
]


def is_refuted(arguments, number, proof, module, stands, says):
    """Whether the bounded proof ends with a violated assertion, and where."""
    build = pathlib.Path(arguments.build) / f"{number}_{proof}"
    shutil.rmtree(HERE / build, ignore_errors=True)
    shutil.copytree(HERE / "rtl", HERE / build / "rtl")
    path = HERE / build / "rtl" / f"{module}.sv"
    text = path.read_text()
    if text.count(stands) != 1:
        return None, f"`{stands}` stands {text.count(stands)} times in rtl/{module}.sv"
    path.write_text(text.replace(stands, says))
    command = [arguments.make, "-s", f"formal-{proof}", f"PROVED={build}/rtl", f"BUILD={build}"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
    log = HERE / build / "proof" / f"{proof}.bmc.log"
    told = log.read_text() if log.exists() else done.stdout + done.stderr
    violated = re.search(r"Assert failed in \S+: (.*)", told)
    return done.returncode != 0 and violated is not None, violated.group(1) if violated else told


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--make", default="make")
    parser.add_argument("--build", default="build/mutants")
    parser.add_argument("--proofs", required=True, help="names of all proofs")
    arguments = parser.parse_args()
    faults = [
        f"{proof}: no mutant shows that it can fail"
        for proof in sorted(set(arguments.proofs.split()) ^ {mutant[0] for mutant in MUTANTS})
    ]
    for number, (proof, module, stands, says, breaks) in enumerate(MUTANTS):
        refuted, where = is_refuted(arguments, number, proof, module, stands, says)
        if refuted:
            print(f"mutants: {proof} fails where {breaks}: {where}", flush=True)
        else:
            faults.append(f"{proof} does not fail where {breaks}: {where[-2000:]}")
    for fault in faults:
        print(f"mutants: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
