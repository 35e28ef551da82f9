#!/usr/bin/env bash
# run.sh ROOT CODE BUNDLE CPU COMMAND...: runs COMMAND on an emulated arm64 CPU the way Lambda would: an
# unprivileged user, a read-only root, only /tmp writable, none of the host's /sys. NO_SYS=1 hides the image's
# own /sys files as well; INSTRUCTIONS=FILE gets every instruction that was translated.
set -euo pipefail
root=$1 code=$2 bundle=$3 cpu=$4
shift 4
if [ ! -e /proc/sys/fs/binfmt_misc/register ]; then mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc; fi
if [ ! -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]; then
    cat /usr/lib/binfmt.d/qemu-aarch64.conf >/proc/sys/fs/binfmt_misc/register
fi
export root code bundle cpu NO_SYS=${NO_SYS:-} INSTRUCTIONS=${INSTRUCTIONS:-}
exec unshare --mount --pid --fork bash -c '
    set -e
    mount --bind "$root" "$root"
    mount --bind -o ro "$code" "$root/curtain"
    mount --bind -o ro "$bundle" "$root/bundle"
    mount -t proc proc "$root/proc"
    mount -t tmpfs -o size=512m,mode=1777 tmpfs "$root/tmp"
    if [ -n "$NO_SYS" ]; then mount -t tmpfs -o ro tmpfs "$root/sys"; fi
    mount -o remount,bind,ro "$root"
    cd /
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp QEMU_CPU="$cpu" PYTHONPATH=/curtain:/opt/site \
        PYTHONDONTWRITEBYTECODE=1 ${CURTAIN_KERNELS:+CURTAIN_KERNELS=$CURTAIN_KERNELS} \
        ${INSTRUCTIONS:+QEMU_LOG=in_asm QEMU_LOG_FILENAME=/tmp/instructions} \
        chroot --userspec=993:990 "$root" "$@"
    if [ -n "$INSTRUCTIONS" ]; then cp "$root/tmp/instructions" "$INSTRUCTIONS"; fi
' -- "$@"
