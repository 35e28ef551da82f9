#!/bin/sh
# packages.sh ARCH LOCK: packages for ARCH (arm64, amd64) in /opt/packages, put there by the builder's own Python. Wheels
# only, and none that isn't in the lock (`make lock`), which has what they depend on too.
set -eu
. "$(dirname "$0")/wheels.sh"
wheels --no-deps --require-hashes -r "$2"
cd /opt/packages
# botocore describes every service of AWS, and looks through all of them for the first client. These have clients.
services="apigatewaymanagementapi dynamodb lambda s3 secretsmanager"
for folder in botocore/data/*/; do
    case " $services " in *" $(basename "$folder") "*) ;; *) rm -r "$folder" ;; esac
done
# onnxruntime's parts for C programs and for making models.
rm -rf bin onnxruntime/capi/libonnxruntime.so* onnxruntime/transformers onnxruntime/quantization onnxruntime/tools
finish
