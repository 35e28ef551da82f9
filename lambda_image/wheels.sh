# For packages.sh and torch.sh, whose first argument is the architecture, as Docker calls it: arm64, amd64. `wheels`
# is pip, putting that architecture's wheels into /opt/packages, whatever this machine is; `finish` ends their work.
case $1 in
    amd64) machine=x86_64 ;;
    arm64) machine=aarch64 ;;
    *) echo "$0: no packages for $1: arm64 or amd64" >&2 && exit 1 ;;
esac
wheels() {
    python -m pip install -q --no-compile --only-binary=:all: --target /opt/packages \
        --platform "manylinux_2_28_$machine" --platform "manylinux_2_27_$machine" \
        --platform "manylinux_2_17_$machine" --platform "manylinux2014_$machine" "$@"
}
# Compiled, and never checked against the sources: Lambda's root is read-only, and a file's time there may not be the
# one that it had here.
finish() {
    cd /opt/packages
    find . -name conftest.py -delete
    find . -depth -type d '(' -name tests -o -name test ')' -exec rm -rf {} +
    chmod -R a+rX .
    python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/packages
}
