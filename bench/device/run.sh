#!/usr/bin/env bash
# Everything that is measured on an NVIDIA GPU, in one call: every kernel compiled and checked, each
# variant timed, PyTorch on the same machine beside it. Needs the driver, NVRTC and Python with
# PyTorch there, and no Rust: the binaries are carried along. Changes no setting of the card.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
    cat <<'TEXT'
usage: bench/device/run.sh --bench BINARY --out DIR [--model FILE] [--tests BINARY] [--smoke]
                           [--sanitize]

Writes DIR/cuda-DATE.json (our figures, PyTorch's, driver, device) and DIR/cuda-DATE.md (the table).

  --bench BINARY  portcullis-bench, built with the feature cuda
  --out DIR       where the results go; bench/reports/device in a checkout
  --model FILE    the shipped embedder's ONNX file
  --tests BINARY  the conformance test executable: its suite `on_cuda` runs first, not to be skipped
  --smoke         little data, few rounds: proves that everything agrees
  --sanitize      also compute-sanitizer, memcheck and racecheck, over a smoke run
TEXT
}

bench='' out='' model='' tests='' smoke='' sanitize=''
while (($#)); do
    case $1 in
    --help | -h) usage && exit 0 ;;
    --smoke) smoke=1 ;;
    --sanitize) sanitize=1 ;;
    --bench | --out | --model | --tests)
        [[ $# -ge 2 ]] || { usage >&2 && exit 2; }
        printf -v "${1#--}" '%s' "$2"
        shift
        ;;
    *) echo "run.sh: unknown option $1; --help tells the options" >&2 && exit 2 ;;
    esac
    shift
done
[[ -n $bench && -n $out ]] || { usage >&2 && exit 2; }

# NVRTC lies in a package of Python's or in a toolkit; nobody else puts it where it is looked for.
nvrtc=$(python3 - <<'PY'
import pathlib, site, sysconfig
roots = [sysconfig.get_path("purelib"), *site.getsitepackages(), "/usr/local/cuda"]
found = [p for root in roots for p in pathlib.Path(root).glob("**/libnvrtc.so.1[23]*")]
print(found[0].parent if found else "")
PY
)
export LD_LIBRARY_PATH=${nvrtc:+$nvrtc:}${LD_LIBRARY_PATH:-}
echo "NVRTC: ${nvrtc:-as the system finds it}"
nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm --format=csv,noheader

mkdir -p "$out"
kernels=$(mktemp -d)
trap 'rm -rf "$kernels"' EXIT
chmod +x "$bench" ${tests:+"$tests"}
if [[ -n $tests ]]; then
    PORTCULLIS_REQUIRE=cuda "$tests" on_cuda
fi
if [[ -n $sanitize ]]; then
    for tool in memcheck racecheck; do
        compute-sanitizer --tool "$tool" --error-exitcode 9 \
            "$bench" cuda --smoke --rows 5000 --kernels "$kernels"
    done
fi
date=$(date -u +%Y-%m-%d-%H%M)
"$bench" cuda --kernels "$kernels" --json "$out/cuda-$date.json" ${model:+--model "$model"} \
    ${smoke:+--smoke}
python3 "$here/peer.py" --ours "$out/cuda-$date.json" --table "$out/cuda-$date.md" \
    --date "$date" ${smoke:+--smoke}
