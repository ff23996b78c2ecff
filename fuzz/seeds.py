#!/usr/bin/env python3
"""The seed corpus of the calibration target, made by hand: a sound file and its relatives.

    python fuzz/seeds.py fuzz/corpus/calibration
"""

import hashlib
import pathlib
import struct
import sys


def calibration(dims=2, hot=1, population=1, basis=b"nobody: 3 genuine and 4 impostor comparisons"):
    rows = [(1e-2, 0.25), (1e-3, 0.5)]
    body = struct.pack("<8s6IfI32s2Q", b"PCULSCAL", 1, dims, hot, len(rows), len(basis), population,
                       100.0, 0, bytes(32), 3, 4)
    body += b"".join(struct.pack("<dfI", *row, 0) for row in rows) + basis
    identity = [float(i == j) for i in range(dims) for j in range(dims)]
    floats = identity + ([0.0] * dims + identity + identity if population else [])
    body += struct.pack(f"<{len(floats)}f", *floats)
    return body + hashlib.sha256(body).digest()


def main(folder):
    sound = calibration()
    seeds = {
        "sound": sound,
        "alone": calibration(population=0),
        "one-dimension": calibration(dims=1),
        "truncated": sound[:100],
        "another-version": sound[:8] + b"\x02" + sound[9:],
        "another-hash": sound[:-1] + bytes([sound[-1] ^ 1]),
    }
    for name, seed in seeds.items():
        (pathlib.Path(folder) / name).write_bytes(seed)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
