#!/usr/bin/env python3
"""Derive the spectrum from which `portcullis-bench search` draws synthetic galleries.

    python bench/calibration/spectrum.py STATISTICS.npz MODEL_SHA256 HOT_DIMS OUTPUT.spectrum

Needs numpy alone. STATISTICS.npz is what derive.py reads: `mean` (d), `second_moment` E[x x^T]
(d x d), `within_covariance` (d x d) of the unit-norm embeddings of many photographs. In the rotated
space (eigenvectors of the second moment, falling eigenvalue) three numbers per dimension are kept:

    eigenvalue   of the second moment: the energy of the dimension
    mean         of all photographs
    within       variance of one person's photographs

What is left out are the correlations of the two covariances between dimensions. Their share of the
within-person covariance is printed (squared, 13 % for MobileFaceNet); leaving them out changes the
survivors of the bound by less than a tenth and makes the gallery slightly harder, so that no
speed measured on it is flattered. 3 d numbers of 512 x 512 x 2: nothing of a face is in them.
"""

import hashlib
import sys

import numpy as np

from derive import rotation_of


def main(statistics, model, hot, output):
    data = {name: array.astype(np.float64) for name, array in np.load(statistics).items()}
    moment = (data["second_moment"] + data["second_moment"].T) / 2
    rotation = rotation_of(moment)
    energy = np.diag(rotation @ moment @ rotation.T)
    mean = rotation @ data["mean"]
    covariance = rotation @ data["within_covariance"] @ rotation.T
    within = np.maximum(np.diag(covariance), 0.0)
    off = covariance - np.diag(np.diag(covariance))
    assert bytes.fromhex(model), "the hash of the model is hexadecimal"
    with open(statistics, "rb") as file:
        source = hashlib.sha256(file.read()).hexdigest()
    with open(output, "w", encoding="ascii", newline="\n") as file:
        file.write(
            "# Second-order statistics of one embedder's unit-norm embeddings, in the rotated "
            "space.\n"
            "# Made by bench/calibration/spectrum.py; no face can be recovered from it.\n"
            f"# Statistics file, SHA-256: {source}\n"
            f"model {model}\ndims {len(energy)}\nhot {hot}\n"
            "# eigenvalue mean within\n"
        )
        for row in zip(energy, mean, within, strict=True):
            file.write(" ".join(f"{value:.6e}" for value in row) + "\n")
    print(f"dimensions {len(energy)}, first {hot} with {energy[:int(hot)].sum():.3f} of the energy")
    print(f"left out of the within-person covariance: {(off**2).sum() / (covariance**2).sum():.2f}")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
