#!/bin/sh
# Lambda's runtime client on Lambda; anywhere else the same client under Amazon's emulator, which listens on port 8080
# and reads two of the settings that Lambda would give: the timeout in seconds and the memory in MB.
set -eu
if [ -n "${AWS_LAMBDA_RUNTIME_API:-}" ]; then exec python -m awslambdaric "$@"; fi
export AWS_LAMBDA_FUNCTION_TIMEOUT="${AWS_LAMBDA_FUNCTION_TIMEOUT:-900}"
export AWS_LAMBDA_FUNCTION_MEMORY_SIZE="${AWS_LAMBDA_FUNCTION_MEMORY_SIZE:-10240}"
exec aws-lambda-rie python -m awslambdaric "$@"
