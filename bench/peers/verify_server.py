"""The peer of `portcullis-load peer`: the same verification as a Python server would do it.

FastAPI behind uvicorn; OpenCV decodes, resizes and warps; onnxruntime runs the same two networks
(YuNet at 640 x 640, SFace), block-quantised weights dequantised once at start, all graph
optimisations on. One answer: both faces found, aligned, embedded, compared.

    verify_server.py --port P --processes N --threads T --detector FILE --embedder FILE

Written as such servers are written when they are written well: sessions are made once per process,
the two embeddings of a request run as one batch, the work leaves the event loop to a thread, and
arrays are vectorised. There is no audit, no policy, no zeroing and no gallery here, which the
appliance does beside this work.
"""

import argparse
import os
import sys

import cv2
import numpy as np
import onnx
import onnxruntime
import uvicorn
from fastapi import FastAPI, File, HTTPException, UploadFile

from ort import fold

INPUT_PX = 640
CONFIDENCE_MIN = 0.6
OVERLAP_MAX = 0.3
DETECTIONS_MAX = 5000
THRESHOLD = 0.425
ALIGNED = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ],
    np.float64,
)
SETTINGS = "PORTCULLIS_PEER_"


def setting(name):
    return os.environ[SETTINGS + name]


def session(path, size_px):
    """The model dequantised, of any batch where it carries one, with optimisations on."""
    model = fold(onnx.load(path))
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[0].Clear()
    if size_px:
        dims[0].dim_value = 1
        dims[2].dim_value = dims[3].dim_value = size_px
    else:
        dims[0].dim_param = "batch"
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(setting("THREADS"))
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


class Verifier:
    def __init__(self):
        self.detector = session(setting("DETECTOR"), INPUT_PX)
        self.embedder = session(setting("EMBEDDER"), None)
        self.names = [output.name for output in self.detector.get_outputs()]
        self.corners = {
            stride: np.stack(
                np.mgrid[: INPUT_PX // stride, : INPUT_PX // stride][::-1], axis=-1
            ).reshape(-1, 2)
            for stride in (8, 16, 32)
        }

    def aligned(self, encoded):
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise HTTPException(422, "not a picture")
        points = self.landmarks(image)
        # Umeyama in two dimensions: OpenCV's estimate without outliers is the same similarity.
        source = points[:, 0] + 1j * points[:, 1]
        target = ALIGNED[:, 0] + 1j * ALIGNED[:, 1]
        centred = source - source.mean()
        turn = (centred.conj() @ (target - target.mean())) / (centred.conj() @ centred)
        shift = target.mean() - turn * source.mean()
        warp = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
        return cv2.warpAffine(image, warp, (112, 112), flags=cv2.INTER_LINEAR)

    def landmarks(self, image):
        height, width = image.shape[:2]
        scale = min(1.0, INPUT_PX / max(height, width))
        fitted = image
        if scale < 1.0:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            fitted = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        canvas = np.zeros((INPUT_PX, INPUT_PX, 3), np.uint8)
        canvas[: fitted.shape[0], : fitted.shape[1]] = fitted
        feed = canvas.transpose(2, 0, 1)[None].astype(np.float32)
        outputs = dict(
            zip(self.names, self.detector.run(None, {self.detector.get_inputs()[0].name: feed}))
        )
        boxes, scores, points = [], [], []
        for stride, corner in self.corners.items():
            cls, obj = (outputs[f"{kind}_{stride}"].reshape(-1) for kind in ("cls", "obj"))
            score = np.sqrt(np.clip(cls, 0, 1) * np.clip(obj, 0, 1))
            kept = np.flatnonzero(score >= CONFIDENCE_MIN)
            if not len(kept):
                continue
            box = outputs[f"bbox_{stride}"].reshape(-1, 4)[kept]
            middle = (corner[kept] + box[:, :2]) * stride
            size = np.exp(box[:, 2:]) * stride
            boxes.append(np.hstack([middle - size / 2, size]))
            scores.append(score[kept])
            held = outputs[f"kps_{stride}"].reshape(-1, 5, 2)[kept]
            points.append((corner[kept][:, None] + held) * stride)
        if not boxes:
            raise HTTPException(422, "no face")
        boxes, scores, points = (np.concatenate(part) for part in (boxes, scores, points))
        kept = np.asarray(
            cv2.dnn.NMSBoxes(
                boxes.tolist(), scores.tolist(), CONFIDENCE_MIN, OVERLAP_MAX, top_k=DETECTIONS_MAX
            )
        ).reshape(-1)
        largest = kept[np.argmax(boxes[kept, 2] * boxes[kept, 3])]
        return points[largest].astype(np.float64) / scale

    def similarity(self, probe, reference):
        faces = np.stack([self.aligned(probe), self.aligned(reference)])
        feed = faces[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)
        embedded = self.embedder.run(
            None, {self.embedder.get_inputs()[0].name: np.ascontiguousarray(feed)}
        )[0]
        embedded /= np.linalg.norm(embedded, axis=1, keepdims=True)
        return float(embedded[0] @ embedded[1])


def build():
    verifier = Verifier()
    cv2.setNumThreads(int(setting("THREADS")))
    app = FastAPI()

    @app.get("/readyz")
    def readyz():
        return "ready"

    @app.get("/v1/version")
    def version():
        versions = {"onnxruntime": onnxruntime.__version__, "opencv": cv2.__version__}
        return {"product": "python peer", "python": sys.version.split()[0], **versions}

    @app.post("/v1/verify")
    def verify(probe: UploadFile = File(), reference: UploadFile = File()):
        similarity = verifier.similarity(probe.file.read(), reference.file.read())
        decision = "match" if similarity >= THRESHOLD else "no-match"
        return {"comparisons": [{"decision": decision, "similarity": similarity}]}

    return app


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--processes", type=int, default=1)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--detector", required=True)
    arguments.add_argument("--embedder", required=True)
    asked = arguments.parse_args()
    os.environ[SETTINGS + "THREADS"] = str(asked.threads)
    os.environ[SETTINGS + "DETECTOR"] = asked.detector
    os.environ[SETTINGS + "EMBEDDER"] = asked.embedder
    uvicorn.run(
        "verify_server:build",
        factory=True,
        app_dir=os.path.dirname(os.path.abspath(__file__)),
        host="127.0.0.1",
        port=asked.port,
        workers=asked.processes,
        log_level="error",
        access_log=False,
    )


if __name__ == "__main__":
    main()
