"""FAISS, USearch and NumPy as the peers of `portcullis-bench search`.

The benchmark starts one process per number of threads and talks to it in lines:

    ready <name> <version> <name> <version> ...          after loading
    answer <peer> <batch>             ->  answered             (dump: answers.bin)
    range <threshold>                 ->  ranged <count of probe 0> <count> ...  (accepted.bin)
    time <peer> <batch> <first> <runs> -> times <nanoseconds> <nanoseconds> ...
    (end of input)                    ->  the process ends

`rows.npy` and `probes.npy` in --data are int8 (C order), mapped, never copied whole in that form.
Floats are the same whole numbers: a product of two templates and every partial sum of it is a whole
number below 2^24, which float32 holds exactly whatever the order of the sum. So every peer but one
must give the very scores and rows that ours gives; there is no rounding at the edge to argue about.
The one is FAISS's QT_8bit, which is trained and rounds rows anew: its scores may be off by what its
own step sizes allow, which `bound` computes and `answer` reports beside them.

Dumps lie in --data, little-endian. answers.bin: for every probe, K times (row, score), then what
its scores may be off by, all f64. accepted.bin: i64 rows, ascending per probe, probe after probe.

The float copy is held once: FAISS's flat index owns it, NumPy and USearch read the same memory.
"""

import argparse
import os
import pathlib
import sys
import time

# Rows that are turned to floats at once.
BLOCK = 1 << 16


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True, type=pathlib.Path)
    parser.add_argument("--rows", required=True, type=int, help="the first rows of rows.npy")
    parser.add_argument("--threads", required=True, type=int)
    parser.add_argument("--best", required=True, type=int)
    parser.add_argument("--only", default="", help="comma-separated peers; all without it")
    return parser.parse_args()


ASKED = arguments()
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = str(ASKED.threads)

import faiss  # noqa: E402  after the thread counts, which its libraries read when they load
import numpy as np  # noqa: E402
import usearch  # noqa: E402
from usearch.index import MetricKind, search as usearch_exact  # noqa: E402

# FAISS takes its BLAS path from this many probes on.
NEVER, ALWAYS = 1 << 30, 1


class Flat:
    """IndexFlatIP, its own loops or BLAS."""

    def __init__(self, index, blas):
        self.index, self.blas = index, blas

    def search(self, probes):
        faiss.cvar.distance_compute_blas_threshold = ALWAYS if self.blas else NEVER
        scores, rows = self.index.search(probes.floats, ASKED.best)
        return rows, scores

    def bound(self, probes):
        return np.zeros(len(probes.floats))


class Quantized:
    """IndexScalarQuantizer; `trained` ones round every row anew."""

    def __init__(self, rows, kind, trained):
        self.index = faiss.IndexScalarQuantizer(rows.shape[1], kind, faiss.METRIC_INNER_PRODUCT)
        self.trained = trained
        step = max(1, len(rows) // BLOCK)
        self.index.train(rows[::step].astype(np.float32))
        self.most = np.zeros(rows.shape[1], np.float32)
        for first in range(0, len(rows), BLOCK):
            block = rows[first : first + BLOCK].astype(np.float32)
            self.index.add(block)
            if trained:
                held = self.index.reconstruct_n(first, len(block))
                self.most = np.maximum(self.most, np.abs(held - block).max(axis=0))

    def search(self, probes):
        scores, rows = self.index.search(probes.floats, ASKED.best)
        return rows, scores

    def bound(self, probes):
        # One more for the float sum of values that are not whole numbers any more.
        extra = 1.0 if self.trained else 0.0
        return np.abs(probes.floats).astype(np.float64) @ self.most + extra


class Usearch:
    """Exhaustive search over a plain array."""

    def __init__(self, rows, floats):
        self.rows, self.floats = rows, floats

    def search(self, probes):
        asked = probes.floats if self.floats else probes.bytes
        found = usearch_exact(
            self.rows, asked, ASKED.best, MetricKind.IP, exact=True, threads=ASKED.threads
        )
        shape = (len(asked), -1)
        return np.reshape(found.keys, shape), 1.0 - np.reshape(found.distances, shape)

    def bound(self, probes):
        return np.zeros(len(probes.floats))


class Blas:
    """A matrix product and the best k of each line."""

    def __init__(self, rows):
        self.rows = rows

    def search(self, probes):
        scores = probes.floats @ self.rows.T
        rows = np.argpartition(scores, -ASKED.best, axis=1)[:, -ASKED.best :]
        return rows, np.take_along_axis(scores, rows, axis=1)

    def bound(self, probes):
        return np.zeros(len(probes.floats))


class Probes:
    """A batch, in both forms; made before any clock runs."""

    def __init__(self, values):
        self.bytes = np.ascontiguousarray(values)
        self.floats = self.bytes.astype(np.float32)


def flat_index(rows):
    index = faiss.IndexFlatIP(rows.shape[1])
    for first in range(0, len(rows), BLOCK):
        index.add(rows[first : first + BLOCK].astype(np.float32))
    floats = faiss.rev_swig_ptr(index.get_xb(), rows.size).reshape(rows.shape)
    return index, floats


def main():
    faiss.omp_set_num_threads(ASKED.threads)
    rows = np.load(ASKED.data / "rows.npy", mmap_mode="r")[: ASKED.rows]
    probes = np.load(ASKED.data / "probes.npy")
    kinds = faiss.ScalarQuantizer
    only = set(filter(None, ASKED.only.split(",")))
    index, floats = flat_index(rows)
    makers = {
        "faiss-flat": lambda: Flat(index, blas=False),
        "faiss-flat-blas": lambda: Flat(index, blas=True),
        "faiss-sq8": lambda: Quantized(rows, kinds.QT_8bit, trained=True),
        "faiss-sq8-direct": lambda: Quantized(rows, kinds.QT_8bit_direct_signed, trained=False),
        "usearch-f32": lambda: Usearch(floats, floats=True),
        "usearch-i8": lambda: Usearch(np.array(rows), floats=False),
        "numpy": lambda: Blas(floats),
    }
    peers = {name: make() for name, make in makers.items() if not only or name in only}
    versions = {"faiss": faiss.__version__, "usearch": usearch.__version__, "numpy": np.__version__}
    print(
        "ready",
        *(word for name in peers for word in (name, versions[name.split("-")[0]])),
        flush=True,
    )
    for line in sys.stdin:
        verb, *words = line.split()
        {"answer": answer, "range": accepted, "time": timed}[verb](peers, index, probes, *words)


def answer(peers, _index, probes, name, batch):
    peer, batch = peers[name], int(batch)
    with open(ASKED.data / "answers.bin", "wb") as file:
        for first in range(0, len(probes), batch):
            asked = Probes(probes[first : first + batch])
            rows, scores = peer.search(asked)
            order = np.argsort(-scores, axis=1, kind="stable")
            dump = np.empty((len(asked.bytes), 2 * ASKED.best + 1), "<f8")
            dump[:, 0:-1:2] = np.take_along_axis(rows, order, axis=1).astype(np.float64)
            dump[:, 1:-1:2] = np.take_along_axis(scores, order, axis=1)
            dump[:, -1] = peer.bound(asked)
            file.write(dump.tobytes())
    print("answered", flush=True)


def accepted(_peers, index, probes, threshold):
    """Every row at or above a threshold; scores are whole, so half a point below is sharp."""
    faiss.cvar.distance_compute_blas_threshold = NEVER
    limits, _, rows = index.range_search(Probes(probes).floats, float(threshold) - 0.5)
    with open(ASKED.data / "accepted.bin", "wb") as file:
        for first, last in zip(limits[:-1], limits[1:]):
            file.write(np.sort(rows[first:last]).astype("<i8").tobytes())
    print("ranged", *(int(count) for count in np.diff(limits.astype(np.int64))), flush=True)


def timed(peers, _index, probes, name, batch, first, runs):
    peer, batch = peers[name], int(batch)
    spent = []
    for run in range(int(runs)):
        at = ((int(first) + run) * batch) % (len(probes) - batch + 1)
        asked = Probes(probes[at : at + batch])
        start = time.perf_counter_ns()
        peer.search(asked)
        spent.append(time.perf_counter_ns() - start)
    print("times", *spent, flush=True)


if __name__ == "__main__":
    main()
