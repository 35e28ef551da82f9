#!/usr/bin/env bash
# rootfs.sh DIR PYTHON: an arm64 Debian with Python, the model function's packages and torch, made in seconds without
# emulation. Lambda has no CPU topology under /sys; the image brings the two files that torch asks for, so this
# does too.
set -euo pipefail
image=$(dirname "$0")/../../lambda_image root=$1 python=$2
rm -rf "$root.partial"
mkdir -p "$(dirname "$root")"
mmdebstrap --quiet --variant=extract --mode=root --architectures=arm64 --skip=check/qemu \
    --include=base-files,base-passwd,bash,coreutils,dash,libc-bin,python3-minimal,python3,libgomp1,libstdc++6 \
    bookworm "$root.partial"
wheels() {
    "$python" -m pip --disable-pip-version-check install --quiet --no-deps --only-binary=:all: \
        --platform manylinux_2_28_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 \
        --python-version 3.11 --target "$root.partial/opt/site" "$@"
}
wheels --require-hashes -r "$image/requirements.lock"
wheels "$(sed -n 's/^\(torch==[0-9.]*\);.*aarch64.*/\1/p' "$image/requirements-build.txt")"
rm -rf "$root.partial"/opt/site/torch/{test,include,share}
mkdir -p "$root.partial"/sys/devices/system/cpu "$root.partial"/{curtain,bundle,proc,tmp}
for name in possible present; do echo 0-5 >"$root.partial/sys/devices/system/cpu/$name"; done
mv "$root.partial" "$root"
