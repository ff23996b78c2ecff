#!/usr/bin/env python3
"""Seed corpora made by hand: a sound input and its relatives.

    python fuzz/seeds.py fuzz/corpus
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


def cbor(value):
    """CBOR (RFC 8949) of the few kinds of value that a token has."""
    def head(major, number):
        for bits, form in ((24, "B"), (1 << 8, "BB"), (1 << 16, ">BH"), (1 << 32, ">BI")):
            if number < bits:
                break
        first = (number,) if bits == 24 else ({1: 24, 2: 25, 4: 26}[struct.calcsize(form) - 1], number)
        return struct.pack(form, major << 5 | first[0], *first[1:])

    match value:
        case int():
            return head(0, value) if value >= 0 else head(1, -1 - value)
        case bytes():
            return head(2, len(value)) + value
        case list():
            return head(4, len(value)) + b"".join(map(cbor, value))
        case dict():
            pairs = [cbor(key) + cbor(item) for key, item in value.items()]
            return head(5, len(value)) + b"".join(pairs)


def signed(algorithm=-8, dims=128, purpose=2):
    """The inside of a holder template: COSE_Sign1 with a signature of nobody's."""
    payload = cbor([bytes(dims), bytes(4), 1_900_000_000, 86_400, purpose])
    return cbor([cbor({1: algorithm}), {}, payload, bytes(64)])


def sealed(nonce=12, header=None):
    """A holder template that nobody sealed: COSE_Encrypt0."""
    return b"\xd0" + cbor([cbor({1: 3, 4: bytes(4), 5: bytes(nonce)}), header or {}, bytes(250)])


def calibrations():
    sound = calibration()
    return {
        "sound": sound,
        "alone": calibration(population=0),
        "one-dimension": calibration(dims=1),
        "truncated": sound[:100],
        "another-version": sound[:8] + b"\x02" + sound[9:],
        "another-hash": sound[:-1] + bytes([sound[-1] ^ 1]),
    }


def tokens():
    return {
        "signed": signed(),
        "signed-otherwise": signed(algorithm=-7),
        "no-template": signed(dims=0),
        "no-purpose": signed(purpose=99),
        "sealed": sealed(),
        "short-nonce": sealed(nonce=8),
        "open-header": sealed(header={5: bytes(12)}),
    }


def main(corpora):
    for target, seeds in (("calibration", calibrations()), ("holder_token", tokens())):
        folder = pathlib.Path(corpora) / target
        folder.mkdir(exist_ok=True)
        for name, seed in seeds.items():
            (folder / name).write_bytes(seed)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
