# shellcheck shell=bash
# What a machine must have before anything starts. Sourced by ./run and ./test, which stand in the
# repository root; everything that is missing is named at once, with the way to get it.

# A Rust toolchain installed for this user is found even when the shell's profile is not read.
if ! command -v cargo >/dev/null && [[ -x ${CARGO_HOME:-$HOME/.cargo}/bin/cargo ]]; then
    PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
fi

missing=()

need_rust() {
    local wanted held
    local how="apt-get install rustup (Debian 13 and Ubuntu 24.04 have it) or
      the Rust project's installer, then: rustup default stable"
    wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    if ! command -v cargo >/dev/null || ! command -v rustc >/dev/null; then
        missing+=("Rust $wanted or newer: $how")
        return
    fi
    if ! held=$(rustc --version 2>/dev/null); then
        missing+=("a Rust toolchain (rustc does not start): rustup default stable")
        return
    fi
    held=${held#rustc }
    held=${held%%[ -]*}
    if [[ $(printf '%s\n%s\n' "$wanted" "$held" | sort -V | head -n 1) != "$wanted" ]]; then
        missing+=("Rust $wanted or newer (rustc here is $held): rustup update stable, or, where
      rustup is absent: $how")
    fi
}

need_rust_component() {
    if command -v cargo >/dev/null && ! cargo "$1" --version >/dev/null 2>&1; then
        missing+=("cargo $1: rustup component add $2")
    fi
}

need_c_compiler() {
    local source
    source=$(mktemp --suffix=.c)
    printf '#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n' >"$source"
    if ! cc -o "${source%.c}" "$source" 2>/dev/null; then
        missing+=("a C compiler with its headers (cc): apt-get install build-essential")
    fi
    rm -f "$source" "${source%.c}"
}

# Only the fuzzer's own runtime is C++.
need_cxx_compiler() {
    if ! command -v c++ >/dev/null; then
        missing+=("a C++ compiler (c++), for the fuzzer: apt-get install build-essential")
    fi
}

# Takes the oldest minor version of Python 3 that will do.
need_python() {
    if ! python3 -c "import sys; sys.exit(sys.version_info < (3, $1))" 2>/dev/null; then
        missing+=("Python 3.$1 or newer: apt-get install python3 python3-pip python3-venv")
    elif ! python3 -m pip --version >/dev/null 2>&1; then
        missing+=("pip for Python 3: apt-get install python3-pip")
    fi
}

need_python_venv() {
    if command -v python3 >/dev/null && ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        missing+=("virtual environments for Python 3: apt-get install python3-venv")
    fi
}

# Ends the script when something is missing.
need_nothing_more() {
    ((${#missing[@]})) || return 0
    {
        echo "$1: this machine lacks:"
        printf '  - %s\n' "${missing[@]}"
        echo "Install what is named (apt-get as root) and start $1 again; nothing was changed."
    } >&2
    exit 2
}
