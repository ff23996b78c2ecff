#!/usr/bin/env python3
"""The seed corpora, made by hand: sound files and their relatives, one folder per target.

    python fuzz/seeds.py fuzz/corpus
"""

import base64
import hashlib
import io
import pathlib
import struct
import sys
import zipfile
import zlib

# Two pictures of 9 x 7 by the small JPEG 2000 encoder of the tests: bare codestreams.
COLOUR = bytes.fromhex(
    "ff4fff51002f0000000000090000000700000000000000000000000900000007000000000000000000030701"
    "01070101070101ff52000c00000001000004040001ff5c00042040ff90000a0000000000be0001ff93ff01b0"
    "122bbb140b227500193478f8745127a9e8084dc8612ff619a85fe7e059c294c0e8437f3eacc53cea9bf3d2fe"
    "2d63780014286cf78b7fff01b890efd826edaf36b81489b252fb0071bf3f199d3377304978ddbe237a36562a"
    "85188c33a96b26b5d5aef4533165e8a4426434010b90291fff01d09104b3a5c629bae7699dd1dc29805c3c3c"
    "be64327d0897b07d6dcfee5e3dd9eb5c33af4f761f381fbfb34608d15f34b50ec964a38050145935afffd9"
)
GREY = bytes.fromhex(
    "ff4fff5100290000000000090000000700000000000000000000000900000007000000000000000000010701"
    "01ff52000c00000001000004040001ff5c00042040ff90000a0000000000470001ff93ff01b0122bbb140b22"
    "7500193478f8745127a9e8084dc8612ff619a85fe7e059c294c0e8437f3eacc53cea9bf3d2fe2d6378001428"
    "6cf78b7fffd9"
)

# The state of tests/common/issuer.rs: EF.SOD of its document, a revocation list of its CSCA, whose
# certificate is csca.pem.
SOD = base64.b64decode(
    "d4ID8jCCA+4GCSqGSIb3DQEHAqCCA98wggPbAgEDMQ0wCwYJYIZIAWUDBAIBMHAGBmeBCAEBAaBmBGQwYgIBADANBglg"
    "hkgBZQMEAgEFADBOMCUCAQEEIM8K+HE+jc+o1hwD4aRf/OJB0gKuC+l2jazQTCO4WSUkMCUCAQIEIA9GimkP6DvzRAVY"
    "qwibUKPGQcpJFBg4BvFzOg06TcwMoIICWzCCAlcwggH9oAMCAQICAQIwCgYIKoZIzj0EAwIwHDELMAkGA1UEBhMCVVQx"
    "DTALBgNVBAMMBENTQ0EwIhgPMjAyNjA4MTUwMDAwMDBaGA8yMDM3MDcyODAwMDAwMFowGjELMAkGA1UEBhMCVVQxCzAJ"
    "BgNVBAMMAkRTMIIBMzCB7AYHKoZIzj0CATCB4AIBATAsBgcqhkjOPQEBAiEA/////wAAAAEAAAAAAAAAAAAAAAD/////"
    "//////////8wRAQg/////wAAAAEAAAAAAAAAAAAAAAD///////////////wEIFrGNdiqOpPns+u9VXaYhrxlHQawzFOw"
    "9jvOPD4n0mBLBEEEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7L"
    "tkBoN79R9QIhAP////8AAAAA//////////+85vqtpxeehPO5ysL8YyVRAgEBA0IABCru2XNVN1XcYe6pAcAlWkAKiSTX"
    "msLBjH/foYpN/xwJSFVp9lFZbMLHj0lU95g3cwzK8wnD+QUmZJ7M1teopbajUjBQMA4GA1UdDwEB/wQEAwIHgDAfBgNV"
    "HSMEGDAWgBQBAQEBAQEBAQEBAQEBAQEBAQEBATAdBgNVHQ4EFgQUAgICAgICAgICAgICAgICAgICAgIwCgYIKoZIzj0E"
    "AwIDSAAwRQIgWU9Y2YAnC9/y/+8vm9fYgb9NlE7fKDvGr90Ezl8MtvsCIQDPO/Fu5k/p4C2tHYp7nWSpwxOKCWrfl7ua"
    "lJ9FHdS/GTGB9TCB8gIBATAhMBwxCzAJBgNVBAYTAlVUMQ0wCwYDVQQDDARDU0NBAgECMAsGCWCGSAFlAwQCAaBoMBUG"
    "CSqGSIb3DQEJAzEIBgZngQgBAQEwHgYJKoZIhvcNAQkFMREYDzIwMjYxMDA0MDAwMDAwWjAvBgkqhkiG9w0BCQQxIgQg"
    "fDmIE90ARlALgONtqKoT9VECqcy5WNCyjQWgdTYGxF0wCgYIKoZIzj0EAwIERzBFAiEA8RKWUqXLsYMIUnRJ2dJmo9IR"
    "0ZfTZ/E4e5wEiC1gyMwCIH5XlF53gbrvYKAbGQ7xVrk8St0PlxwYkpG5mk0/OfCX"
)
CRL = base64.b64decode(
    "MIG/MGcCAQEwCgYIKoZIzj0EAwIwHDELMAkGA1UEBhMCVVQxDTALBgNVBAMMBENTQ0EYDzIwMjYxMTIzMDAwMDAwWhgP"
    "MjAyNjExMjQwMDAwMDBaMBYwFAIBBxgPMjAyNjExMjMwMDAwMDBaMAoGCCqGSM49BAMCA0gAMEUCID2fufUdPZcD/3kn"
    "KMTlsQ8+529IFzmxrO/JnfwkhoX/AiEA3wtfdWZwa6gx9aGKQr4lb8dgDl4Yu4/qFEaRedoMs14="
)


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
        if number < 24:
            return bytes([major << 5 | number])
        size, code = next((1 << log2, 24 + log2) for log2 in range(4) if number < 1 << (8 << log2))
        return bytes([major << 5 | code]) + number.to_bytes(size, "big")

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


def superblock(root=8192, size=160, version=1, generation=3, dims=24):
    """A gallery's superblock that nobody stamped."""
    block = struct.pack("<8s2HI16s2Q32s32s2HI2Q32s", b"PORTCGLY", version, 1, 0, b"f" * 16, 1,
                        generation, b"\1" * 32, b"\2" * 32, dims, 64, 0, root, size, b"s" * 32)
    block += bytes(4064 - len(block))
    return block + hashlib.sha256(block).digest()


def gallery(rows=8, tiles=1, leaf=8384, part=8640, **changes):
    """A gallery whose key tree lies open: one tile of 24 values, 16 of them hot."""
    block = superblock(**changes)
    root = struct.pack("<4I32s6Q", 24, 16, 8, 0, bytes(32), 0, rows, 1, rows - 1, tiles, 1)
    root += struct.pack("<32s3Q2I", bytes(32), leaf, 1, 2, tiles, 0)
    node = b"".join(struct.pack("<32s2Q", bytes(32), part + 512 * at, 1) for at in range(3))
    node += struct.pack("<Q2I2Q2q4I", 2, rows, 1, 1, 1, 0, 99, 0, 1, 0, 0)
    nodes = (root.ljust(192, b"\0") + node).ljust(448, b"\0")
    return block + superblock(generation=2) + nodes + bytes(3 * 512)


def galleries():
    sound = gallery()
    return {
        "sound": sound,
        "cut-off": sound[:9000],
        "one-slot": sound[:4096] + bytes(4096) + sound[8192:],
        "another-version": gallery(version=2),
        "too-many-rows": gallery(rows=9),
        "too-many-tiles": gallery(tiles=65),
        "leaf-outside": gallery(leaf=1 << 40),
        "part-outside": gallery(part=(1 << 64) - 64 * 17),
        "root-outside": gallery(root=1 << 63, size=(1 << 63) + 64),
    }


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


def element(tag, *parts):
    """BER-TLV: the tag in hexadecimal digits, the shortest length, the contents."""
    value = b"".join(parts)
    size = len(value)
    length = bytes([size]) if size < 128 else b"\x81" + bytes([size]) if size < 256 else (
        b"\x82" + struct.pack(">H", size))
    return bytes.fromhex(tag) + length + value


def box(name, body):
    return struct.pack(">I4s", len(body) + 8, name) + body


def jp2(codestream, space):
    header = box(b"ihdr", struct.pack(">IIH4B", 7, 9, 3, 7, 7, 0, 0))
    header += box(b"colr", struct.pack(">3BI", 1, 0, 0, space))
    return (box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
            + box(b"jp2h", header) + box(b"jp2c", codestream))


def iso19794(image, version=b"010\0"):
    extra = b"\0\0\1" if version == b"030\0" else b""
    block = struct.pack(">IH14xBBHHBBHH", 32 + len(image), 0, 1, 1, 9, 7, 1, 2, 0, 0) + image
    length = 14 + len(extra) + len(block)
    return b"FAC\0" + version + struct.pack(">IH", length, 1) + extra + block


def iso39794(image):
    about = element("a1", element("a0", element("80", b"\3")),
                    element("a7", element("80", b"\x09"), element("81", b"\x07")))
    picture = element("a0", element("80", image), about)
    block = element("30", element("80", b"\0"), element("a1", element("a0", picture)))
    version = element("a0", element("80", b"\3"), element("81", b"\x07\xe3"))
    return element("a1", element("65", version, element("a1", block)))


def group(form, *blocks):
    header = element("a1", element("87", b"\1\1"), element("88", form))
    instances = b"".join(element("7f60", header, block) for block in blocks)
    return element("75", element("7f61", element("02", bytes([len(blocks)])), instances))


def documents():
    picture = jp2(COLOUR, 16)
    record = element("5f2e", iso19794(picture))
    zone = (b"P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<"
            b"L898902C36UTO7408122F1204159ZE184226B<<<<<10")
    return {
        "iso19794": group(b"\0\x08", record),
        "iso19794-twice": group(b"\0\x08", record, record),
        "iso19794-bare": iso19794(GREY, b"030\0"),
        "iso39794": group(b"\0\x2a", element("7f2e", iso39794(picture))),
        "iso39794-bare": iso39794(GREY),
        "dg1": element("61", element("5f1f", zone)),
        "com": element("60", element("5f01", b"0107"), element("5f36", b"040000"),
                       element("5c", b"\x61\x75\x63\x6e")),
    }


def jpeg(progressive):
    """9 x 7 in three colours, of two blocks; codes are of one length each, as the tests' are."""
    blocks = (((40, -3, 2, 0, 5), (-10, 1), (12, 0, -4)), ((-20, 7), (3,), (0, 0, 0, 1)))

    def segment(marker, body):
        return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body

    def table(name, length, symbols):
        counts = [len(symbols) if bits == length else 0 for bits in range(1, 17)]
        return segment(0xC4, bytes([name, *counts, *symbols]))

    def coded(number):
        """The size of a number, and its bits: negative ones are written minus one."""
        size = abs(number).bit_length()
        low = number if number >= 0 else number + (1 << size) - 1
        return size, f"{low:0{size}b}" if size else ""

    def scan(components, first, last):
        bits, before = "", [0, 0, 0]
        for block in blocks:
            for component in components:
                values = block[component]
                if first == 0:
                    size, low = coded(values[0] - before[component])
                    bits += f"{size:04b}{low}"
                    before[component] = values[0]
                if last > 0:
                    run = 0
                    for number in values[1:]:
                        if number:
                            size, low = coded(number)
                            bits += f"{run * 11 + size:08b}{low}"
                        run = 0 if number else run + 1
                    bits += "00000000"  # the rest of the block is zero
        bits += "1" * (-len(bits) % 8)
        stuffed = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
        selectors = [byte for component in components for byte in (component + 1, 0)]
        return segment(0xDA, bytes([len(components), *selectors, first, last, 0])) + stuffed

    frame = struct.pack(">BHHB", 8, 7, 9, 3) + bytes.fromhex("011100 021100 031100")
    head = b"\xff\xd8" + segment(0xDB, bytes([0] + [16] * 64))
    head += segment(0xC2 if progressive else 0xC0, frame) + table(0x00, 4, range(12))
    head += table(0x10, 8, [run << 4 | size for run in range(16) for size in range(11)])
    if progressive:
        scans = scan((0, 1, 2), 0, 0) + b"".join(scan((one,), 1, 63) for one in range(3))
    else:
        scans = scan((0, 1, 2), 0, 63)
    return head + scans + b"\xff\xd9"


def png():
    """9 x 7 in three colours, with every kind of filter; stored, which every zlib does alike."""
    def chunk(name, body):
        check = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + check

    rows = b"".join(bytes([y % 5, *(27 * y + x for x in range(27))]) for y in range(7))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">II5B", 9, 7, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b""))


def images():
    return {"colour.j2k": COLOUR, "grey.j2k": GREY, "srgb.jp2": jp2(COLOUR, 16),
            "sycc.jp2": jp2(COLOUR, 18), "baseline.jpg": jpeg(progressive=False),
            "progressive.jpg": jpeg(progressive=True), "rgb.png": png()}


def archive(method, moment=(0.5, 0.3, 0.3, 0.5), dtype="<f8"):
    def array(shape, values):
        header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
        start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
        return start + struct.pack(f"<{len(values)}{'d' if dtype == '<f8' else 'f'}", *values)

    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", method) as members:
        for name, shape, values in (
            ("mean", "(2,)", (0.1, 0.2)),
            ("second_moment", "(2, 2)", moment),
            ("within_covariance", "(2, 2)", (0.1, 0.0, 0.0, 0.1)),
        ):
            members.writestr(zipfile.ZipInfo(f"{name}.npy"), array(shape, values), method)
    return whole.getvalue()


def archives():
    sound = archive(zipfile.ZIP_STORED)
    return {
        "stored": sound,
        "deflated": archive(zipfile.ZIP_DEFLATED),
        "single": archive(zipfile.ZIP_STORED, dtype="<f4"),
        "lopsided": archive(zipfile.ZIP_STORED, moment=(0.5, 0.3, 0.1, 0.5)),
        "truncated": sound[:300],
    }


def streams():
    """Motion JPEG: pictures in form with a thumbnail's markers inside, whole and torn."""
    picture = bytes.fromhex("ffd8ffe10008ffd8ffd90101ffda000301" "01ff00ffd301ffd9")
    boundary = b"--x\r\nContent-Type: image/jpeg\r\n\r\n"
    return {"plain": b"\x3f" + picture * 3, "multipart": b"\x07" + (boundary + picture) * 2,
            "torn": b"\x00" + picture[:9] + picture * 2}


def signatures():
    return {"genuine": SOD, "truncated": SOD[:-1], "untagged": SOD[4:], "content-only": SOD[60:200]}


def certificates():
    pem = pathlib.Path(__file__).with_name("csca.pem").read_bytes()
    body = b"".join(pem.splitlines()[1:-1])
    ldif = b"version: 1\n\ndn: c=UT\ncACertificate;binary:: " + body[:60] + b"\n " + body[60:]
    return {"pem": pem, "der": base64.b64decode(body), "ldif": ldif + b"\n", "list": CRL,
            "both": pem + b"-----BEGIN X509 CRL-----\n" + base64.b64encode(CRL)
            + b"\n-----END X509 CRL-----\n"}


def journals():
    def opened(number, attempt=1):
        return ('{"opened":{"transaction":"%s","lane":"gate-1","attempt":%d}}\n'
                % (f"{number:02x}" * 16, attempt)).encode()

    def closed(number, ended, outcome, display):
        return ('{"closed":{"transaction":"%s","ended":"%s","outcome":"%s","display":"%s"}}\n'
                % (f"{number:02x}" * 16, ended, outcome, display)).encode()

    whole = (opened(1) + closed(1, "decided", "admit", "go-ahead") + opened(2)
             + closed(2, "timed-out", "retry", "come-closer") + opened(3, 2)
             + closed(3, "left", "refer", "ask-officer"))
    return {"whole": whole, "interrupted": opened(1) + opened(2), "torn": whole[:-20],
            "twice": whole + whole, "orphan": closed(9, "decided", "admit", "go-ahead"),
            "contradictory": opened(1) + closed(1, "interrupted", "admit", "go-ahead")}


def card_answers():
    """What a core of 4 probes and lists of 8 answers, and replies on a pipe."""
    counters = struct.pack("<16I", *(word for n in range(4) for word in (40, 10 - n, n, n)))
    lists = b"".join(
        struct.pack("<iI", 90 - at, at) if at < n else struct.pack("<iI", -1 << 31, (1 << 32) - 1)
        for n in range(4) for at in range(8))
    head = struct.pack("<I2H3I", 0x454E4F44, 4, 8, 50, 3, 0).ljust(64, b"\0")
    answer = head + counters + lists

    def reply(operation, count, payload=b"", status=0):
        return struct.pack("<2BHIQ", operation, status, 0, count, 1) + payload

    pipe = reply(10, 64) + reply(1, 4, b"PORT") + reply(2, 0)
    pipe += reply(4, 2, answer[:128] + b"\0\1")
    return {
        "survivors": b"\0\x28\0\x0f" + struct.pack("<16I", 1, 2, 3, 4, *[0] * 12) * 2,
        "finished": b"\1\x32\0\3" + answer,
        "core-fault": b"\1\x32\0\3" + answer[:16] + b"\2" + answer[17:],
        "cut-off": b"\1\x32\0\3" + answer[:-64],
        "pipe": b"\2\2\1\2" + pipe + reply(7, 0) + reply(8, 1, bytes(64)),
        "pipe-refused": b"\2\2\1\2" + reply(10, 64) + reply(1, 0, status=4),
        "pipe-endless": b"\2\2\1\2" + reply(10, 64) + reply(1, (1 << 32) - 1),
    }


def main(corpus):
    for target, seeds in {"calibration": calibrations(), "dg2": documents(),
                          "fpga_answer": card_answers(), "gallery": galleries(),
                          "holder_token": tokens(), "image": images(), "journal": journals(),
                          "mjpeg": streams(), "sod": signatures(), "statistics": archives(),
                          "trust": certificates()}.items():
        folder = pathlib.Path(corpus) / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, seed in seeds.items():
            (folder / name).write_bytes(seed)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
