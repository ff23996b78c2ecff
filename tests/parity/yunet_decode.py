#!/usr/bin/env python3
"""Faces that onnxruntime and an independent decoding find in given input tensors.

    yunet_decode.py MODEL TENSOR HEIGHT WIDTH

MODEL is a YuNet file (block-quantised weights are folded here, for onnxruntime refuses them as they
are); TENSOR holds one or more inputs of HEIGHT x WIDTH x 3 little-endian float32, blue first, one
after the other. Prints one JSON list per input: faces with score, box and landmarks in input
pixels, most confident first.

Written from the formulas in the model's documentation, not from the Rust code: vectorised, with
whole grids at a time, so that a common mistake is unlikely.
"""

import json
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

CONFIDENCE_MIN = 0.6
OVERLAP_MAX = 0.3


def runnable(path, height, width):
    """The model with DequantizeLinear and Reshape of constants folded, at the size asked for."""
    model = onnx.load(path)
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        elif node.op_type == "DequantizeLinear" and node.input[0] in constants:
            constants[node.output[0]] = dequantised(node, constants)
        elif node.op_type == "Reshape" and node.input[0] in constants:
            shape = constants[node.input[1]]
            constants[node.output[0]] = constants[node.input[0]].reshape(shape)
        else:
            kept.append(node)
    used = {name for node in kept for name in node.input}
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    for name in sorted(used & constants.keys()):
        graph.initializer.append(numpy_helper.from_array(constants[name].copy(), name))
    inputs = [value for value in graph.input if value.name in used and value.name not in constants]
    del graph.input[:]
    graph.input.extend(inputs)
    dims = graph.input[0].type.tensor_type.shape.dim
    dims[2].dim_value, dims[3].dim_value = height, width
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    del graph.value_info[:]
    return model.SerializeToString()


def dequantised(node, constants):
    attributes = {item.name: item.i for item in node.attribute}
    axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)
    values, scale = constants[node.input[0]], constants[node.input[1]]
    zero = constants[node.input[2]] if len(node.input) > 2 else np.zeros_like(scale, values.dtype)
    if scale.size > 1 and block > 0:
        length = values.shape[axis]
        scale, zero = (
            np.repeat(part, block, axis=axis).take(range(length), axis=axis)
            for part in (scale, zero)
        )
    elif scale.size > 1:
        shape = [1] * values.ndim
        shape[axis] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return (values.astype(np.float32) - zero.astype(np.float32)) * scale.astype(np.float32)


def decoded(outputs, height, width):
    rows = []
    for stride in (8, 16, 32):
        cls, obj, box, points = (
            outputs[f"{kind}_{stride}"].reshape(-1, size).astype(np.float64)
            for kind, size in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
        )
        y, x = np.mgrid[: height // stride, : width // stride]
        corner = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64)
        score = np.sqrt(np.clip(cls, 0, 1) * np.clip(obj, 0, 1))
        size = np.exp(box[:, 2:]) * stride
        middle = (corner + box[:, :2]) * stride
        points = (np.tile(corner, 5) + points) * stride
        rows.append(np.hstack([score, middle - size / 2, size, points]))
    rows = np.vstack(rows)
    rows = rows[rows[:, 0] >= CONFIDENCE_MIN]
    return suppressed(rows[np.argsort(-rows[:, 0], kind="stable")])


def suppressed(rows):
    kept = []
    while len(rows):
        best, rows = rows[0], rows[1:]
        kept.append(best)
        low = np.maximum(rows[:, 1:3], best[1:3])
        high = np.minimum(rows[:, 1:3] + rows[:, 3:5], best[1:3] + best[3:5])
        shared = np.clip(high - low, 0, None).prod(axis=1)
        union = rows[:, 3:5].prod(axis=1) + best[3:5].prod() - shared
        rows = rows[shared / union <= OVERLAP_MAX]
    return kept


def main():
    path, tensors, height, width = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        runnable(path, height, width), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    inputs = np.fromfile(tensors, dtype="<f4").reshape(-1, 1, height, width, 3)
    for tensor in inputs:
        feed = np.ascontiguousarray(tensor.transpose(0, 3, 1, 2))
        outputs = dict(zip(names, session.run(None, {session.get_inputs()[0].name: feed})))
        print(json.dumps([
            {"score": face[0], "box": face[1:5].tolist(), "landmarks": face[5:].tolist()}
            for face in decoded(outputs, height, width)
        ]))


if __name__ == "__main__":
    main()
