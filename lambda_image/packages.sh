#!/bin/sh
# packages.sh ARCH REQUIREMENTS [PIP-ARGUMENT...]: packages for ARCH (arm64, amd64) in /opt/packages, put there by the
# builder's own Python. Wheels only; compiled, and never checked against the sources: Lambda's root is read-only, and a
# file's time there may not be the one that it had here.
set -eu
case $1 in
    amd64) machine=x86_64 ;;
    arm64) machine=aarch64 ;;
    *) echo "packages.sh: no packages for $1: arm64 or amd64" >&2 && exit 1 ;;
esac
requirements=$2
shift 2
install() {
    python -m pip install -q --no-compile --only-binary=:all: --target /opt/packages \
        --platform "manylinux_2_28_$machine" --platform "manylinux_2_27_$machine" \
        --platform "manylinux_2_17_$machine" --platform "manylinux2014_$machine" "$@"
}
# tokenizers depends on what downloads models; ours reads a file.
grep '^tokenizers==' "$requirements" >alone.txt
grep -v '^tokenizers==' "$requirements" >others.txt
install --no-deps -r alone.txt
install -r others.txt "$@"
cd /opt/packages
# onnxruntime's parts for C programs and for making models.
rm -rf bin onnxruntime/capi/libonnxruntime.so* onnxruntime/transformers onnxruntime/quantization onnxruntime/tools
find . -name conftest.py -delete
find . -depth -type d '(' -name tests -o -name test ')' -exec rm -rf {} +
chmod -R a+rX .
python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/packages
