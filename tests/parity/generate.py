#!/usr/bin/env python3
"""What onnxruntime says: networks, fresh inputs and its outputs, for tests/parity.rs.

    python generate.py OUT --seed N [--long] [--model FILE[:SCALE]]...

Writes into OUT
  manifest.json          one entry per network: file, inputs, outputs with dimensions
  <name>.onnx            a generated network (random weights), or
  <name>.<k>.x.f32       input k, NCHW, raw little-endian float32
  <name>.<k>.<o>.f32     output o of input k, in the order of the file

Given files are rewritten only where onnxruntime refuses them: `DequantizeLinear` (and `Reshape`)
over constants is folded, exactly w = (q - z) * s, and inputs that no node reads are dropped.
Inputs are photographs in miniature (smooth, 0..255) and noise, by turns. SCALE divides them, for
networks whose normalisation is not in the file.
"""

import argparse
import json
import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

INPUTS = 2


# --- Making a given file runnable ---------------------------------------------------------------


def dequantise(node, q, scale, zero):
    """(q - z) * s with one scale, one per axis, or one per block of an axis."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)
    if scale.size == 1:
        scale, zero = scale.reshape(()), zero.reshape(())
    elif block == 0:
        shape = [-1 if i == axis % q.ndim else 1 for i in range(q.ndim)]
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    else:
        keep = np.arange(q.shape[axis])
        scale = np.repeat(scale, block, axis).take(keep, axis)
        zero = np.repeat(zero, block, axis).take(keep, axis)
    return (q.astype(np.int32) - zero.astype(np.int32)).astype(np.float32) * scale


def runnable(model):
    """The same network without what onnxruntime stumbles over."""
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    folded, kept = {}, []
    for node in graph.node:
        known = [name in constants for name in node.input if name]
        if node.op_type == "DequantizeLinear" and all(known):
            parts = [constants[name] for name in node.input]
            zero = parts[2] if len(parts) > 2 else np.zeros_like(parts[1], dtype=parts[0].dtype)
            value = dequantise(node, parts[0], parts[1], zero)
        elif node.op_type == "Reshape" and all(known):
            value = constants[node.input[0]].reshape(constants[node.input[1]])
        else:
            kept.append(node)
            continue
        constants[node.output[0]] = folded[node.output[0]] = value
    read = {name for node in kept for name in node.input}
    tensors = [tensor for tensor in graph.initializer if tensor.name in read]
    tensors += [numpy_helper.from_array(folded[name], name) for name in folded if name in read]
    inputs = [value for value in graph.input if value.name in read and value.name not in constants]
    for field, values in [(graph.node, kept), (graph.initializer, tensors), (graph.input, inputs)]:
        copies = [type(value).FromString(value.SerializeToString()) for value in values]
        del field[:]
        field.extend(copies)
    return model


# --- Networks of the ArcFace family with random weights -----------------------------------------


class Net:
    """Writes nodes one after the other; every weight is drawn so that values keep their size."""

    def __init__(self, random, size=112):
        self.random, self.nodes, self.tensors = random, [], []
        self.size, self.count = size, 0

    def name(self, kind):
        self.count += 1
        return f"{kind}{self.count}"

    def tensor(self, array):
        name = self.name("w")
        self.tensors.append(numpy_helper.from_array(np.asarray(array, np.float32), name))
        return name

    def node(self, operator, inputs, **attributes):
        name = self.name("t")
        node = helper.make_node(operator, inputs, [name], name=f"{operator}_{name}", **attributes)
        self.nodes.append(node)
        return name

    def conv(self, x, c_in, c_out, kernel=3, stride=1, pad=None, group=1):
        pad = kernel // 2 if pad is None else pad
        fan_in = c_in // group * kernel * kernel
        shape = (c_out, c_in // group, kernel, kernel)
        weights = self.random.normal(0, 1 / np.sqrt(fan_in), shape)
        return self.node("Conv", [x, self.tensor(weights)], group=group, kernel_shape=[kernel] * 2,
                         strides=[stride] * 2, pads=[pad] * 4, dilations=[1, 1])

    def norm(self, x, c):
        draw = self.random
        parts = [draw.uniform(0.7, 1.3, c), draw.normal(0, 0.2, c), draw.normal(0, 0.2, c),
                 draw.uniform(0.6, 1.6, c)]
        return self.node("BatchNormalization", [x, *map(self.tensor, parts)], epsilon=2e-5)

    def prelu(self, x, c):
        return self.node("PRelu", [x, self.tensor(self.random.uniform(0.1, 0.4, (c, 1, 1)))])

    def dense(self, x, n_in, n_out):
        weights = self.tensor(self.random.normal(0, 1 / np.sqrt(n_in), (n_out, n_in)))
        bias = self.tensor(self.random.normal(0, 0.1, n_out))
        return self.node("Gemm", [x, weights, bias], transB=1)

    def model(self, y, width, opset):
        assert self.nodes[-1].output[0] == y
        self.nodes[-1].output[0] = "embedding"
        graph = helper.make_graph(
            self.nodes, "generated",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, self.size, self.size])],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", width])],
            self.tensors,
        )
        opsets = [helper.make_opsetid("", opset)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=7)
        onnx.checker.check_model(model)
        return model


def normalised(net):
    """(x - 127.5) / 127.5 in the graph: a shift in front of a convolution that pads with zeros."""
    x = net.node("Sub", ["x", net.tensor([127.5])])
    return net.node("Div", [x, net.tensor([127.5])])


def iresnet(random, depths):
    """The shape of iresnet18/50/100: pre-normalised blocks, strided shortcuts, 25088 -> 512."""
    net = Net(random)
    x = net.prelu(net.norm(net.conv(normalised(net), 3, 64), 64), 64)
    c_in = 64
    for depth, c in zip(depths, (64, 128, 256, 512)):
        for index in range(depth):
            stride = 2 if index == 0 else 1
            y = net.conv(net.norm(x, c_in), c_in, c)
            y = net.conv(net.prelu(net.norm(y, c), c), c, c, stride=stride)
            y = net.norm(y, c)
            if index == 0:
                x = net.norm(net.conv(x, c_in, c, kernel=1, stride=stride), c)
            x = net.node("Add", [y, x])
            c_in = c
    x = net.node("Dropout", [net.norm(x, 512)])
    x = net.dense(net.node("Flatten", [x], axis=1), 512 * 49, 512)
    return net.model(net.norm(x, 512), 512, opset=11)


def mobilefacenet(random):
    """The shape of MobileFaceNet: bottlenecks, a depthwise 7 x 7 at the end, MatMul and Add."""
    net = Net(random)
    x = net.prelu(net.norm(net.conv(normalised(net), 3, 64, stride=2), 64), 64)
    x = net.prelu(net.norm(net.conv(x, 64, 64, group=64), 64), 64)

    def bottleneck(x, c_in, middle, c_out, stride, residual):
        y = net.prelu(net.norm(net.conv(x, c_in, middle, kernel=1), middle), middle)
        y = net.norm(net.conv(y, middle, middle, stride=stride, group=middle), middle)
        y = net.prelu(y, middle)
        y = net.norm(net.conv(y, middle, c_out, kernel=1), c_out)
        return net.node("Add", [x, y]) if residual else y

    for c_in, middle, c_out, stride, repeats in [
        (64, 128, 64, 2, 4), (64, 256, 128, 2, 6), (128, 512, 128, 2, 2)
    ]:
        x = bottleneck(x, c_in, middle, c_out, stride, residual=False)
        for _ in range(repeats):
            x = bottleneck(x, c_out, middle, c_out, 1, residual=True)
    x = net.prelu(net.norm(net.conv(x, 128, 512, kernel=1), 512), 512)
    x = net.norm(net.conv(x, 512, 512, kernel=7, pad=0, group=512), 512)
    target = net.name("w")
    net.tensors.append(numpy_helper.from_array(np.array([-1, 512], np.int64), target))
    x = net.node("Reshape", [x, target])
    x = net.node("MatMul", [x, net.tensor(random.normal(0, 0.05, (512, 128)))])
    x = net.node("Add", [x, net.tensor(random.normal(0, 0.1, 128))])
    return net.model(net.norm(x, 128), 128, opset=17)


def quantised(model, random):
    """The same network, its 1 x 1 convolutions in blocks of 64 as in the default files."""
    graph, block = model.graph, 64
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Conv"]:
        weights = numpy_helper.to_array(tensors[node.input[1]])
        if weights.shape[2:] != (1, 1) or weights.shape[1] % block:
            continue
        rows = weights.reshape(len(weights), -1, block)
        zero = random.integers(-20, 20, rows.shape[:2]).astype(np.int8)
        scale = (np.abs(rows).max(axis=2) / 100).astype(np.float32)
        q = np.clip(np.rint(rows / scale[:, :, None]) + zero[:, :, None], -128, 127).astype(np.int8)
        stem = node.input[1]
        new = {f"{stem}_q": q.reshape(len(weights), -1), f"{stem}_s": scale, f"{stem}_z": zero,
               f"{stem}_shape": np.array(weights.shape, np.int64)}
        graph.initializer.remove(tensors[stem])
        graph.initializer.extend(numpy_helper.from_array(new[name], name) for name in new)
        dequantised = helper.make_node(
            "DequantizeLinear", list(new)[:3], [f"{stem}_d"], axis=1, block_size=block)
        reshaped = helper.make_node("Reshape", [f"{stem}_d", f"{stem}_shape"], [stem])
        graph.node.insert(0, reshaped)
        graph.node.insert(0, dequantised)
    model.opset_import[0].version = 21
    model.ir_version = 10
    return model


# --- Asking onnxruntime -------------------------------------------------------------------------


def image(random, dims):
    """A smooth picture with some grain, 0..255."""
    n, c, h, w = dims
    y, x = np.mgrid[0:h, 0:w] / max(h, w)
    waves = [np.sin(2 * np.pi * (a * x + b * y + p)) for a, b, p in random.uniform(-3, 3, (6, 3))]
    layers = [sum(k * wave for k, wave in zip(random.normal(0, 30, 6), waves)) for _ in range(c)]
    grain = random.normal(0, 6, (c, h, w))
    return np.clip(np.stack(layers) + 128 + grain, 0, 255)[None]


def without_last_sigmoids(model):
    """Names the logits as outputs, beside the probabilities made from them.

    onnxruntime's sigmoid is a rational approximation, right to 1e-7 and no further: of a score of
    1e-6, as every position without a face has, one digit is left. Its logits are taken instead, and
    the last sigmoid is computed here.
    """
    outputs = {value.name for value in model.graph.output}
    logits = {node.output[0]: node.input[0] for node in model.graph.node
              if node.op_type == "Sigmoid" and node.output[0] in outputs}
    for name in logits.values():
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return logits


def ask(out, name, model, random, scale, entry):
    graph = model.graph
    names = [value.name for value in graph.output]
    logits = without_last_sigmoids(model)
    dims = [dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim]
    dims[0] = 1
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers)
    entry |= {"name": name, "input_dims": dims, "inputs": [], "outputs": []}
    for k in range(INPUTS):
        picture = image(random, dims) if k % 2 == 0 else random.uniform(0, 255, dims)
        x = (picture / scale).astype("<f4")
        x.tofile(out / f"{name}.{k}.x.f32")
        entry["inputs"].append(f"{name}.{k}.x.f32")
        every = session.run(None, {session.get_inputs()[0].name: x})
        by_name = dict(zip((value.name for value in session.get_outputs()), every))
        for probability, logit in logits.items():
            by_name[probability] = 1 / (1 + np.exp(-by_name[logit].astype(np.float64)))
        answers = [by_name[name] for name in names]
        files = []
        for o, answer in enumerate(answers):
            answer.astype("<f4").tofile(out / f"{name}.{k}.{o}.f32")
            file = f"{name}.{k}.{o}.f32"
            files.append({"name": names[o], "dims": list(answer.shape), "file": file})
        entry["outputs"].append(files)
    return entry


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--model", action="append", default=[], metavar="FILE[:SCALE]")
    given = parser.parse_args()
    random = np.random.default_rng(given.seed)
    generated = {"iresnet18": lambda: iresnet(random, (2, 2, 2, 2)),
                 "mobilefacenet": lambda: mobilefacenet(random),
                 "mobilefacenet_int8bq": lambda: quantised(mobilefacenet(random), random)}
    if given.long:
        generated["iresnet50"] = lambda: iresnet(random, (3, 4, 14, 3))
        generated["iresnet100"] = lambda: iresnet(random, (3, 13, 30, 3))
    manifest = []
    for name, make in generated.items():
        model = make()
        onnx.save(model, given.out / f"{name}.onnx")
        entry = {"file": str(given.out / f"{name}.onnx")}
        manifest.append(ask(given.out, name, runnable(model), random, 1.0, entry))
    for argument in given.model:
        path, _, scale = argument.partition(":")
        model = runnable(onnx.load(path))
        entry = {"file": path}
        name = pathlib.Path(path).stem
        manifest.append(ask(given.out, name, model, random, float(scale or 1), entry))
    (given.out / "manifest.json").write_text(json.dumps(manifest, indent=1))
    print(f"{len(manifest)} networks, {INPUTS} inputs each")


if __name__ == "__main__":
    main()
