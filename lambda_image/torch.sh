#!/bin/sh
# torch.sh ARCH [INDEX]: torch for ARCH (arm64, amd64) in /opt/packages, without what serving leaves alone. arm64's is
# CPU-only wherever it comes from; amd64's is that only at INDEX, elsewhere it is CUDA's. Serving imports none of the
# packages that torch depends on, except for numpy and typing_extensions, which are there.
set -eu
. "$(dirname "$0")/wheels.sh"
torch=$(sed -n "s/^\(torch==[0-9.]*\);.*$machine.*/\1/p" lambda_image/requirements-build.txt)
if [ "$machine" = x86_64 ]; then
    index=${2:?on amd64 ATen\'s kernels need --build-arg TORCH_INDEX=..., an index of CPU-only torch}
    wheels --no-deps --extra-index-url "$index" "$torch+cpu"
else
    wheels --no-deps "$torch"
fi
cd /opt/packages
# What compiles and tests programs (of bin/ one part is looked for when torch is imported), and torch.compile.
find torch/bin -type f ! -name torch_shm_manager -delete
rm -rf bin functorch torch/include torch/share torch/_inductor torch/testing/_internal/distributed
rm -f torch/lib/*_test.so torch/lib/libaoti_custom_ops.so torch/lib/libbackend_with_compiler.so
find . -name '*.pyi' -delete -o -name '*.h' -delete
finish
