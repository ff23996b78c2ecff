#!/usr/bin/env python3
"""Derive a calibration file (format: src/model/calibration.rs) from second-order statistics.

    python bench/calibration/derive.py STATISTICS.npz OUTPUT.calibration

`portcullis calibrate STATISTICS.npz` does the same for any embedder, by the same rules, but knows
no thresholds; this script is how the shipped file was made, with the table that was measured
elsewhere.

Needs numpy alone. STATISTICS.npz holds, of the unit-norm embeddings of many photographs:
`mean` (d), `second_moment` E[x x^T] (d x d), `within_covariance` (pooled within-person, d x d).
The constants below are those of the default embedder; for another one change them.

Rotation: eigenvectors of the second moment by falling eigenvalue, so that the first dimensions hold
most of the energy of every dot product. An eigenvector's sign is arbitrary: here its largest
component (the first of equals) is positive, so that one input gives one file.

Scale S: the largest multiple of 8 at which a normal model of each rotated dimension (its mean, its
variance) expects less than 1e-4 of all values beyond +-127. A larger S rounds more finely (a
similarity carries an error of about 0.29 * sqrt(2) / S), a smaller one saturates less.
"""

import hashlib
import math
import struct
import sys

import numpy as np

MODEL_SHA256 = "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee"
HOT_DIMS = 96
GENUINE, IMPOSTOR = 242_257, 87_307_271
THRESHOLDS = [(1e-3, 0.364), (1e-4, 0.425), (1e-5, 0.494), (1e-6, 0.602)]
BASIS = (
    "Labeled Faces in the Wild (deep funneled), all against all: "
    f"{GENUINE:,} genuine and {IMPOSTOR:,} impostor comparisons; "
    "unconstrained celebrity photographs, not passport against live capture"
)
SATURATED_SHARE_MAX = 1e-4


def rotation_of(second_moment):
    values, vectors = np.linalg.eigh(second_moment)
    axes = vectors[:, np.argsort(values)[::-1]].T
    largest = np.abs(axes).argmax(axis=1)
    signs = np.sign(axes[np.arange(len(axes)), largest])
    return axes * signs[:, None]


def saturated_share(scale, mean, deviation):
    """Expected share of values whose rounding lies beyond +-127."""
    edge = 127.5 / scale
    tail = lambda z: 0.5 * math.erfc(z / math.sqrt(2))
    each = [tail((edge - m) / s) + tail((edge + m) / s) for m, s in zip(mean, deviation)]
    return sum(each) / len(each)


def main(statistics, output):
    data = {name: array.astype(np.float64) for name, array in np.load(statistics).items()}
    moment = (data["second_moment"] + data["second_moment"].T) / 2
    d = len(moment)
    rotation = rotation_of(moment)
    mean = rotation @ data["mean"]
    total = rotation @ moment @ rotation.T - np.outer(mean, mean)
    within = rotation @ data["within_covariance"] @ rotation.T
    between = total - within
    deviation = np.sqrt(np.diag(total))
    scale = 8
    while saturated_share(scale + 8, mean, deviation) < SATURATED_SHARE_MAX:
        scale += 8
    basis = BASIS.encode()
    body = struct.pack(
        "<8s6IfI32s2Q", b"PCULSCAL", 1, d, HOT_DIMS, len(THRESHOLDS), len(basis), 1, scale, 0,
        bytes.fromhex(MODEL_SHA256), GENUINE, IMPOSTOR,
    )
    assert len(body) == 88
    body += b"".join(struct.pack("<dfI", fmr, similarity, 0) for fmr, similarity in THRESHOLDS)
    body += basis
    symmetric = lambda matrix: (matrix + matrix.T) / 2
    for part in (rotation, mean, symmetric(between), symmetric(within)):
        body += part.astype("<f4").tobytes()
    digest = hashlib.sha256(body).digest()
    with open(output, "wb") as file:
        file.write(body + digest)
    energy = np.diag(rotation @ moment @ rotation.T)
    print(f"dimensions {d}, hot {HOT_DIMS} with {energy[:HOT_DIMS].sum():.3f} of the energy")
    print(f"scale {scale}, expected saturated share {saturated_share(scale, mean, deviation):.1e}")
    print(f"smallest eigenvalue between persons {np.linalg.eigvalsh(between).min():.2e}")
    print(f"calibration {digest.hex()}, {len(body) + 32} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
