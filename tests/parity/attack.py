#!/usr/bin/env python3
"""What the publisher's way and onnxruntime say of faces in frames, for tests/parity.rs.

    python attack.py OUT --seed N FILE:SCALE...

Draws frames and boxes (in the middle, at the edges, beyond them, larger than the frame), cuts each
network's region out as Silent-Face-Anti-Spoofing does, resizes it bilinearly with its edge
repeated, and asks onnxruntime. Writes into OUT
  manifest.json      per case: frame size, box, per network the region (left, top, width, height),
                     the probabilities; and the fused score
  <case>.rgb         the frame, packed RGB
  <case>.<n>.f32     input of network n, NHWC, BGR, raw little-endian float32
"""

import argparse
import json
import pathlib

import numpy as np
import onnxruntime

CASES = 16
BONA_FIDE = 1


def region(frame_w, frame_h, box, scale):
    """CropImage._get_new_box: both ends are pixels of the region."""
    x, y, box_w, box_h = box
    scale = min((frame_h - 1) / box_h, min((frame_w - 1) / box_w, scale))
    new_w, new_h = box_w * scale, box_h * scale
    centre_x, centre_y = box_w / 2 + x, box_h / 2 + y
    left, top = centre_x - new_w / 2, centre_y - new_h / 2
    right, bottom = centre_x + new_w / 2, centre_y + new_h / 2
    if left < 0:
        right -= left
        left = 0
    if top < 0:
        bottom -= top
        top = 0
    if right > frame_w - 1:
        left -= right - frame_w + 1
        right = frame_w - 1
    if bottom > frame_h - 1:
        top -= bottom - frame_h + 1
        bottom = frame_h - 1
    left, top, right, bottom = int(left), int(top), int(right), int(bottom)
    return left, top, right - left + 1, bottom - top + 1


def resized(picture, width, height):
    """Bilinear, pixel centres on pixel centres, in float64 and not rounded."""

    def places(size, count):
        at = np.clip((np.arange(count) + 0.5) * size / count - 0.5, 0, size - 1)
        low = np.floor(at).astype(int)
        return low, np.minimum(low + 1, size - 1), at - low

    x0, x1, fx = places(picture.shape[1], width)
    y0, y1, fy = places(picture.shape[0], height)
    values = picture.astype(np.float64)
    rows = values[y0] * (1 - fy)[:, None, None] + values[y1] * fy[:, None, None]
    return rows[:, x0] * (1 - fx)[:, None] + rows[:, x1] * fx[:, None]


def frame(random, width, height):
    """Smooth colours with a little grain."""
    small = random.uniform(0, 255, (6, 5, 3))
    smooth = resized(small, width, height) + random.normal(0, 6, (height, width, 3))
    return np.clip(np.rint(smooth), 0, 255).astype(np.uint8)


def box(random, width, height):
    """As a detector gives it: about as large as a face, and now and then beyond the frame."""
    size = random.uniform(0.15, 1.1) * min(width, height)
    box_w, box_h = size * random.uniform(0.7, 0.85), size
    x = random.uniform(-0.15, 1.0) * width - box_w * random.uniform(0, 0.6)
    y = random.uniform(-0.15, 1.0) * height - box_h * random.uniform(0, 0.6)
    # What crosses to the other side is float32.
    return [float(np.float32(value)) for value in (x, y, box_w, box_h)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("networks", nargs="+")
    given = parser.parse_args()
    random = np.random.default_rng(given.seed)
    networks = []
    for named in given.networks:
        path, scale = named.rsplit(":", 1)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        networks.append((session, float(scale)))
    cases = []
    for case in range(CASES):
        width, height = (int(size) for size in random.integers(160, 700, 2))
        pixels, face = frame(random, width, height), box(random, width, height)
        (given.out / f"{case}.rgb").write_bytes(pixels.tobytes())
        shown, said = [], []
        for number, (session, scale) in enumerate(networks):
            left, top, region_w, region_h = region(width, height, face, scale)
            cut = pixels[top : top + region_h, left : left + region_w, ::-1]
            declared = session.get_inputs()[0]
            values = resized(cut, declared.shape[3], declared.shape[2]).astype(np.float32)
            (given.out / f"{case}.{number}.f32").write_bytes(values.tobytes())
            [answer] = session.run(None, {declared.name: values.transpose(2, 0, 1)[None]})
            shown.append([left, top, region_w, region_h])
            said.append([float(value) for value in answer[0]])
        attack = float(np.mean([1 - probabilities[BONA_FIDE] for probabilities in said]))
        cases.append({"width_px": width, "height_px": height, "rect_px": face, "regions": shown,
                      "probabilities": said, "attack": attack})
    (given.out / "manifest.json").write_text(json.dumps(cases))
    print(f"{CASES} frames, {len(networks)} networks each")


if __name__ == "__main__":
    main()
