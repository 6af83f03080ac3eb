#!/usr/bin/env bash
# See that the machine has what building (`build`), testing (`test`) or measuring (`bench`) needs. As root, missing
# packages are installed with apt-get; otherwise this says what to install, and stops. Nothing is done where nothing is
# missing.
set -euo pipefail
purpose=${1:?usage: setup.sh build|test|bench}
cd "$(dirname "$0")/.."

packages=()

# need COMMAND PACKAGE
need() { command -v "$1" >/dev/null || packages+=("$2"); }

need cc build-essential
need make build-essential
if [[ $purpose == bench ]]; then
    need redis-server redis-server
    need python3 python3
    # The plots are drawn with whichever of the two has matplotlib.
    python3 -c 'import matplotlib' 2>/dev/null || /usr/bin/python3 -c 'import matplotlib' 2>/dev/null \
        || packages+=(python3-matplotlib)
fi
if [[ $purpose == test ]]; then
    need c++ build-essential      # libFuzzer
    need redis-server redis-server # what answers are compared with
    need redis-cli redis-tools
    need redis-benchmark redis-tools
    need tclsh tcl
    need dpkg-source dpkg-dev
    need node nodejs
    need npm npm
    need python3 python3
    need ps procps
    if [[ $(id -u) == 0 ]]; then
        need mkfs.ext4 e2fsprogs  # a small disk to fill
    fi
    python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
fi

if ((${#packages[@]})); then
    mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)
    if ! command -v apt-get >/dev/null || [[ $(id -u) != 0 ]]; then
        echo "Missing on this machine. Install these Debian packages (or what your system calls them), then run make again:" >&2
        echo "    apt-get install ${packages[*]}" >&2
        exit 1
    fi
    echo "Installing: ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    for attempt in 1 2 3 4; do
        if apt-get -q update && apt-get -q install -y --no-install-recommends "${packages[@]}"; then
            break
        elif ((attempt == 4)); then
            echo "apt-get could not install: ${packages[*]}" >&2
            exit 1
        fi
        sleep $((attempt * 5))
    done
fi

wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
if ! command -v cargo >/dev/null; then
    echo "Missing: cargo. Install Rust $wanted or newer with rustup (Debian's own package is too old), then run make again." >&2
    exit 1
fi
found=$(cargo --version | sed 's/^cargo \([0-9.]*\).*/\1/')
if [[ $(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1) != "$wanted" ]]; then
    echo "cargo is $found, $wanted or newer is needed: rustup update" >&2
    exit 1
fi
if [[ $purpose == test ]]; then
    for component in fmt clippy; do
        if ! cargo "$component" --version >/dev/null 2>&1; then
            echo "Missing: cargo $component. Add it with: rustup component add rustfmt clippy" >&2
            exit 1
        fi
    done
fi
