#!/usr/bin/env bash
# Everything that is measured on an NVIDIA GPU, in one call: every kernel compiled and checked, each
# variant timed, PyTorch on the same machine beside it. Needs the driver, NVRTC and Python with
# PyTorch there, and no Rust: the binaries are carried along. Changes no setting of the card.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
    cat <<'TEXT'
usage: bench/device/run.sh --out DIR --bench BINARY [--model FILE] [--detector FILE]
                           [--tests BINARY]... [--smoke] [--sanitize] [--alone | --only PATTERN]
       bench/device/run.sh --out DIR --resume DATE [--only PATTERN]

Writes DIR/cuda-DATE.json (our figures, PyTorch's, driver, device) and DIR/cuda-DATE.md (the table).

  --bench BINARY   portcullis-bench, built with the feature cuda
  --out DIR        where the results go; bench/reports/device in a checkout
  --model FILE     the shipped embedder's ONNX file
  --detector FILE  the shipped detector's ONNX file
  --tests BINARY   a test executable, any number of them: `conformance`, `devices` and `cuda`; what
                   they have for this backend runs first, and is not to be skipped
  --smoke          little data, few rounds: proves that everything agrees
  --sanitize       also compute-sanitizer, memcheck and racecheck, over the small conformance suite,
                   the operators (both of `conformance`) and a smoke run
  --alone          without PyTorch, for calls that may not last; --resume goes on
  --resume DATE    nothing of ours again: PyTorch, from where the call of that date ended
  --only PATTERN   PyTorch beside those figures alone whose name matches
TEXT
}

bench='' out='' model='' detector='' smoke='' sanitize='' alone='' resume='' only=''
tests=()
while (($#)); do
    case $1 in
    --help | -h) usage && exit 0 ;;
    --smoke) smoke=1 ;;
    --sanitize) sanitize=1 ;;
    --alone) alone=1 ;;
    --bench | --out | --model | --detector | --tests | --resume | --only)
        [[ $# -ge 2 ]] || { usage >&2 && exit 2; }
        if [[ $1 == --tests ]]; then
            tests+=("$2")
        else
            printf -v "${1#--}" '%s' "$2"
        fi
        shift
        ;;
    *) echo "run.sh: unknown option $1; --help tells the options" >&2 && exit 2 ;;
    esac
    shift
done
[[ -n $out && (-n $bench || -n $resume) ]] || { usage >&2 && exit 2; }

# PyTorch beside the figures of that date.
peers() {
    python3 -B "$here/peer.py" --ours "$out/cuda-$1.json" --table "$out/cuda-$1.md" --date "$1" \
        --only "$only"
}
if [[ -n $resume ]]; then
    peers "$resume"
    exit
fi

# NVRTC lies in a package of Python's or in a toolkit; nobody else puts it where it is looked for.
# The driver refuses the code of one that is newer than itself: the newest of the others is taken.
nvrtc=$(python3 - <<'PY'
import ctypes, pathlib, site, sysconfig

def asked(library, name, many):
    numbers = [ctypes.c_int() for _ in range(many)]
    getattr(ctypes.CDLL(str(library)), name)(*map(ctypes.byref, numbers))
    return [number.value for number in numbers]

(driver,) = asked("libcuda.so.1", "cuDriverGetVersion", 1)
takes = [driver // 1000, driver % 1000 // 10]
roots = [sysconfig.get_path("purelib"), *site.getsitepackages(), "/usr/local/cuda"]
fitting = []
for library in {p for root in roots for p in pathlib.Path(root).glob("**/libnvrtc.so.1[23]*")}:
    try:
        version = asked(library, "nvrtcVersion", 2)
    except OSError:
        continue  # a link to nowhere, or made for another machine
    if version <= takes:
        fitting.append((version, str(library.parent)))
print(max(fitting)[1] if fitting else "")
PY
)
export LD_LIBRARY_PATH=${nvrtc:+$nvrtc:}${LD_LIBRARY_PATH:-}
echo "NVRTC: ${nvrtc:-as the system finds it}"
nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm --format=csv,noheader

mkdir -p "$out"
kernels=$(mktemp -d)
trap 'rm -rf "$kernels"' EXIT
chmod +x "$bench" ${tests[@]+"${tests[@]}"}
conformance=''
for test in ${tests[@]+"${tests[@]}"}; do
    # Suites that are mounted on several backends have this one's name; tests/cuda.rs is its own.
    suite=(on_cuda)
    case $(basename "$test") in
    conformance*) conformance=$test ;;
    cuda*) suite=() ;;
    esac
    PORTCULLIS_REQUIRE=cuda "$test" ${suite[@]+"${suite[@]}"}
done

# What a tool reports ends this. Answers of the driver are not reported: those that are errors are
# errors to whoever called, too.
watched() {
    local tool=$1
    shift
    local quiet=()
    [[ $tool != memcheck ]] || quiet=(--report-api-errors no)
    compute-sanitizer --tool "$tool" ${quiet[@]+"${quiet[@]}"} --error-exitcode 9 "$@"
}
if [[ -n $sanitize ]]; then
    for tool in memcheck racecheck; do
        if [[ -n $conformance ]]; then
            # But for the two tests of whole networks and many megabytes, which take hours there.
            PORTCULLIS_REQUIRE=cuda watched "$tool" "$conformance" on_cuda_small on_cuda::ops \
                --skip steps_of_the_field --skip many_megabytes --test-threads 1
        fi
        watched "$tool" "$bench" cuda --smoke --rows 5000 --kernels "$kernels"
    done
fi
date=$(date -u +%Y-%m-%d-%H%M)
"$bench" cuda --kernels "$kernels" --json "$out/cuda-$date.json" ${model:+--model "$model"} \
    ${detector:+--detector "$detector"} ${smoke:+--smoke}
[[ -n $alone ]] || peers "$date"
