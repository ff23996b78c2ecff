"""Writes self_signed.pem: one self-signed certificate per signature algorithm, by OpenSSL.

Each certificate is a vector of its own: key, algorithm, signed bytes and signature in one place.
The private keys are thrown away. Run by hand when an algorithm is added; needs only `openssl`.
"""

import pathlib
import subprocess
import tempfile

CURVES = ["prime256v1", "secp384r1", "secp521r1"] + [f"brainpoolP{n}r1" for n in (256, 384, 512)]
HASHES = ["sha1", "sha224", "sha256", "sha384", "sha512"]
RSA_BITS = [2048, 3072, 4096, 6144]


def certificate(key, name, *options):
    command = ["openssl", "req", "-x509", "-new", "-key", key, "-days", "3650"]
    command += ["-subj", f"/C=UT/O=Vectors/CN={name}", *options]
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    return f"# {name}\n" + made.stdout


def key(path, *options):
    subprocess.run(["openssl", "genpkey", "-out", path, *options], check=True, capture_output=True)
    return path


def elliptic(folder):
    for curve in CURVES:
        for encoding in ("named_curve", "explicit"):
            options = ["-pkeyopt", f"ec_paramgen_curve:{curve}"]
            options += ["-pkeyopt", f"ec_param_enc:{encoding}"]
            path = key(f"{folder}/key", "-algorithm", "EC", *options)
            hashes = HASHES if encoding == "explicit" else ["sha256"]
            for name in hashes:
                yield certificate(path, f"{curve}-{encoding}-{name}", f"-{name}")


def rsa(folder):
    for bits in RSA_BITS:
        path = key(f"{folder}/key", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}")
        hashes = HASHES if bits == 2048 else ["sha256"]
        for name in hashes:
            yield certificate(path, f"rsa{bits}-pkcs1-{name}", f"-{name}")
            pss = ["-sigopt", "rsa_padding_mode:pss"]
            yield certificate(path, f"rsa{bits}-pss-{name}-salt-digest", f"-{name}", *pss,
                              "-sigopt", "rsa_pss_saltlen:-1")
        for salt, mask in ((20, "sha256"), (0, "sha512")):
            pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", f"rsa_pss_saltlen:{salt}"]
            if bits == 2048:
                yield certificate(path, f"rsa{bits}-pss-sha256-mgf-{mask}-salt-{salt}", "-sha256",
                                  *pss, "-sigopt", f"rsa_mgf1_md:{mask}")


with tempfile.TemporaryDirectory() as folder:
    found = [*elliptic(folder), *rsa(folder)]
    refused = [certificate(key(f"{folder}/key", "-algorithm", "EC", "-pkeyopt",
                               "ec_paramgen_curve:brainpoolP320r1", "-pkeyopt",
                               "ec_param_enc:explicit"), "refused-brainpoolP320r1", "-sha256"),
               certificate(key(f"{folder}/key", "-algorithm", "RSA", "-pkeyopt",
                               "rsa_keygen_bits:1024"), "weak-rsa1024", "-sha256"),
               certificate(key(f"{folder}/key", "-algorithm", "RSA", "-pkeyopt",
                               "rsa_keygen_bits:7168"), "refused-rsa7168", "-sha256")]
    text = "".join(found + refused)
    pathlib.Path(__file__).with_name("self_signed.pem").write_text(text, encoding="ascii")
