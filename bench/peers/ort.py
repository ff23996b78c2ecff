"""onnxruntime as the peer of `portcullis-bench embed` and `detect`.

The benchmark starts one process per setting and talks to it in lines:

    ready <values of output 0> <values of output 1> ...   after loading and one run
    time <runs>      ->  times <nanoseconds> <nanoseconds> ...
    (end of input)   ->  the process ends

The input is a file of little-endian f32 in NCHW order; all outputs of the first run are written,
one after the other, in the model's order, to the file named by --outputs.

Block-quantised files are dequantised first (w = (q - z) * s, exact), because onnxruntime refuses
or mishandles some of them: constants behind DequantizeLinear and the Reshape that follows are
folded, and graph inputs that no node reads are dropped. What is then timed is onnxruntime's own
float32 path with every graph optimisation switched on.
"""

import argparse
import sys
import time

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper


def dequantised(values, scale, zero, axis, block):
    """(q - z) * s with one scale per tensor, per index of `axis`, or per block along it."""
    if scale.ndim == 0 or scale.size == 1:
        return ((values.astype(np.int32) - zero.astype(np.int32).reshape(())) * scale.reshape(()))
    if scale.ndim == values.ndim or block:
        repeats = block or values.shape[axis]
        cut = [slice(None)] * values.ndim
        cut[axis] = slice(0, values.shape[axis])
        scale = np.repeat(scale, repeats, axis=axis)[tuple(cut)]
        zero = np.repeat(zero, repeats, axis=axis)[tuple(cut)]
    else:
        form = [1] * values.ndim
        form[axis] = -1
        scale, zero = scale.reshape(form), zero.reshape(form)
    return (values.astype(np.int32) - zero.astype(np.int32)) * scale


def fold(model):
    """Folds DequantizeLinear and Reshape over constants; drops what nobody reads."""
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        facts = {attribute.name: attribute.i for attribute in node.attribute}
        if node.op_type == "DequantizeLinear" and all(name in constants for name in node.input):
            values, scale = constants[node.input[0]], constants[node.input[1]]
            zero = np.zeros_like(scale, np.int8)
            if len(node.input) > 2:
                zero = constants[node.input[2]]
            folded = dequantised(
                values, scale, zero, facts.get("axis", 1), facts.get("block_size", 0)
            )
            constants[node.output[0]] = folded.astype(np.float32)
        elif node.op_type == "Reshape" and all(name in constants for name in node.input):
            values = constants[node.input[0]]
            form = [int(size) for size in constants[node.input[1]]]
            constants[node.output[0]] = values.reshape(form)
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)
    read = {name for node in kept for name in node.input}
    inputs = [one for one in graph.input if one.name in read and one.name not in constants]
    del graph.input[:]
    graph.input.extend(inputs)
    del graph.initializer[:]
    for name, values in constants.items():
        if name in read:
            graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
    return model


def fix_input(model, batch, height, width):
    """States the input's exact size, so that the runtime can plan for it."""
    shape = model.graph.input[0].type.tensor_type.shape
    for dim, size in zip(shape.dim, (batch, None, height, width), strict=True):
        if size is not None:
            dim.Clear()
            dim.dim_value = size
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    return tuple(dim.dim_value for dim in shape.dim)


def session(model, threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--model", required=True)
    arguments.add_argument("--input", required=True)
    arguments.add_argument("--outputs", required=True)
    arguments.add_argument("--threads", type=int, required=True)
    arguments.add_argument("--batch", type=int, required=True)
    arguments.add_argument("--height", type=int, required=True)
    arguments.add_argument("--width", type=int, required=True)
    asked = arguments.parse_args()

    model = fold(onnx.load(asked.model))
    shape = fix_input(model, asked.batch, asked.height, asked.width)
    peer = session(model, asked.threads)
    name = peer.get_inputs()[0].name
    feed = {name: np.fromfile(asked.input, dtype="<f4").reshape(shape)}
    outputs = peer.run(None, feed)
    with open(asked.outputs, "wb") as file:
        for output in outputs:
            file.write(np.ascontiguousarray(output, dtype="<f4").tobytes())
    print("ready", ort.__version__, *(output.size for output in outputs), flush=True)

    for line in sys.stdin:
        verb, runs = line.split()
        if verb != "time":
            sys.exit(f"unknown verb {verb}")
        spent = []
        for _ in range(int(runs)):
            start = time.perf_counter_ns()
            peer.run(None, feed)
            spent.append(time.perf_counter_ns() - start)
        print("times", *spent, flush=True)


if __name__ == "__main__":
    main()
