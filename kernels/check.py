#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Compiles every kernel for every architecture with NVRTC, on a machine without a GPU.

A kernel passes when NVRTC takes it without a word, when nothing is spilled to memory and no stack
is used, and when each entry needs no more registers than the head of its file states (`Registers:`
lines, entry and number). NVRTC comes from its PyPI wheel (nvidia-cuda-nvrtc, release 13.0); nothing
else of CUDA is needed, because the kernels include nothing from outside their folder.

usage: check.py FOLDER [--arch sm_90] [--cubin OUT] [KERNEL.cu …]

FOLDER is searched for libnvrtc.so.13 and libnvrtc-builtins.so.13.0. Exits with 1 and one line per
fault, or with 0 and a table of registers.
"""

import argparse
import ctypes
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
ARCHITECTURES = ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90"]
# Parts of other kernels.
PARTS = {"activation.cu", "score.cu"}


class Nvrtc:
    """The few functions that are needed of the library."""

    def __init__(self, folder):
        # The builtins first: the library looks for them by name when it first compiles.
        for name in ["libnvrtc-builtins.so.13.0", "libnvrtc.so.13"]:
            found = sorted(pathlib.Path(folder).rglob(name))
            if not found:
                raise SystemExit(f"check.py: no {name} below {folder}")
            self.library = ctypes.CDLL(str(found[0]), mode=ctypes.RTLD_GLOBAL)

    def bytes_of(self, program, size, content):
        length = ctypes.c_size_t()
        getattr(self.library, size)(program, ctypes.byref(length))
        held = ctypes.create_string_buffer(max(length.value, 1))
        getattr(self.library, content)(program, held)
        return held.raw[: length.value]

    def compile(self, name, text, headers, options):
        """Whether it compiled, what was said, and the machine code."""
        program = ctypes.c_void_p()
        strings = ctypes.c_char_p * len(headers)
        created = self.library.nvrtcCreateProgram(
            ctypes.byref(program),
            text.encode(),
            name.encode(),
            len(headers),
            strings(*(body.encode() for body in headers.values())),
            strings(*(path.encode() for path in headers)),
        )
        if created != 0:
            raise SystemExit(f"check.py: NVRTC does not begin {name}: {created}")
        told = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        failed = self.library.nvrtcCompileProgram(program, len(options), told)
        log = self.bytes_of(program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog")
        code = b""
        if failed == 0:
            code = self.bytes_of(program, "nvrtcGetCUBINSize", "nvrtcGetCUBIN")
        self.library.nvrtcDestroyProgram(ctypes.byref(program))
        return failed == 0, log.rstrip(b"\0").decode(), code


def stated(text):
    """Registers that the head of a kernel allows each entry."""
    lines = re.findall(r"^// Registers: (.*)$", text, re.MULTILINE)
    pairs = [pair.split() for line in lines for pair in line.split(", ")]
    return {entry: int(most) for entry, most in pairs}


def entries(text):
    """Entries of a kernel's text."""
    head = r'extern "C" __global__ void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\('
    return re.findall(head, text)


def used(log):
    """Of each entry: registers, bytes of stack, bytes of spills."""
    found = {}
    entry = None
    for line in log.splitlines():
        named = re.search(r"Compiling entry function '(\w+)'", line)
        if named:
            entry = named.group(1)
            found[entry] = [0, 0, 0]
        stack = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes", line)
        if stack and entry:
            found[entry][1] = int(stack.group(1))
            found[entry][2] = int(stack.group(2)) + int(stack.group(3))
        registers = re.search(r"Used (\d+) registers", line)
        if registers and entry:
            found[entry][0] = int(registers.group(1))
    return found


def faults_of(path, text, log):
    """What is wrong with a kernel that compiled, and its table."""
    limits = stated(text)
    held = used(log)
    faults = [f"{path}: {line}" for line in log.splitlines() if "warning" in line.lower()]
    for entry in sorted(set(entries(text)) ^ set(limits)):
        faults.append(f"{path}: {entry} is an entry without a limit, or a limit without an entry")
    for entry in sorted(set(entries(text)) ^ set(held)):
        faults.append(f"{path}: {entry} is not what was compiled")
    for entry, (registers, stack, spills) in held.items():
        most = limits.get(entry, 0)
        if registers > most:
            faults.append(f"{path}: {entry} takes {registers} registers, its head says {most}")
        if stack or spills:
            faults.append(f"{path}: {entry} has {stack} bytes of stack, {spills} of spills")
    return faults, held


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--arch", action="append")
    parser.add_argument("--cubin", type=pathlib.Path)
    parser.add_argument("kernels", nargs="*")
    told = parser.parse_args()
    nvrtc = Nvrtc(told.folder)
    sources = {str(p.relative_to(HERE)): p.read_text() for p in sorted(HERE.rglob("*.cu*"))}
    chosen = told.kernels or [
        path for path in sources if path.endswith(".cu") and path not in PARTS
    ]
    faults = []
    for path in chosen:
        for arch in told.arch or ARCHITECTURES:
            options = [f"--gpu-architecture={arch}", "--std=c++17", "--ptxas-options=-v"]
            done, log, code = nvrtc.compile(path, sources[path], sources, options)
            if not done:
                faults.append(f"{path} for {arch}: {log}")
                continue
            wrong, held = faults_of(f"{path} for {arch}", sources[path], log)
            faults += wrong
            for entry, (registers, stack, spills) in held.items():
                print(f"{arch} {entry} registers {registers} stack {stack} spills {spills}")
            if told.cubin:
                told.cubin.mkdir(parents=True, exist_ok=True)
                (told.cubin / f"{pathlib.Path(path).stem}.{arch}.cubin").write_bytes(code)
    for fault in faults:
        print(fault, file=sys.stderr)
    raise SystemExit(1 if faults else 0)


if __name__ == "__main__":
    main()
