"""`python -m lambda_image.engine.native.build`: compiles the library in seconds, for this machine or another.

The compiler is ziglang's clang, which cross-compiles and comes from pip, or `--cxx`. Nothing is made for this
machine's own CPU: each instruction set's file has its own flags, and the library chooses when it opens.
"""

import argparse
import hashlib
import importlib.util
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lambda_image.engine.errors import EngineError
from lambda_image.engine.native.target import COMPILED, NAMES, Architecture, Target, this_machine

SOURCES = Path(__file__).parent
COMMON = [
    *("api.cpp", "decoder.cpp", "dispatch.cpp", "forward.cpp", "layer.cpp"),
    *("pool.cpp", "portable.cpp", "readahead.cpp"),
]
AVX2 = ["-mavx2", "-mfma", "-mf16c"]
AVX512 = "-march=x86-64-v4"
KERNELS: dict[Architecture, dict[str, list[str]]] = {
    "x86_64": {
        "avx2.cpp": AVX2,
        "avx512.cpp": [AVX512],
        "vnni.cpp": [AVX512, "-mavx512vnni"],
    },
    "aarch64": {
        "sdot.cpp": ["-mcpu=generic+dotprod"],
        "smmla.cpp": ["-mcpu=generic+dotprod+i8mm"],
    },
}
# No C++ runtime. Sums and products are fused only where the source says so, not where a compiler likes it.
FLAGS = [
    *(
        "-std=c++17",
        "-O3",
        "-fPIC",
        "-fvisibility=hidden",
        "-fno-exceptions",
        "-fno-rtti",
        "-ffp-contract=off",
    ),
    *("-fno-math-errno", "-fno-threadsafe-statics", "-Wall", "-Wextra", "-Wno-psabi"),
]


def build(
    target: Target, out: Path = COMPILED, *, cxx: Sequence[str] | None = None, sanitize: str | None = None
) -> Path:
    """The library, compiled unless the one in `out` is of the same sources, flags and compiler.

    `cxx` is a command, ziglang's clang by default; `sanitize` is for its `-fsanitize`. EngineError without a
    compiler, or if it fails: with what it said.
    """
    compiler = list(cxx) if cxx else _ziglang()
    zig = not cxx
    flags = [*FLAGS, *(["-g", f"-fsanitize={sanitize}", "-fno-sanitize-recover=all"] if sanitize else [])]
    if zig:
        flags += ["-target", target.zig, "-nostdinc++", "-Werror"]
    files: dict[str, list[str]] = {name: [] for name in COMMON} | KERNELS[target.architecture]
    if zig:  # whose names have no hyphens
        files = {
            name: [flag.replace("x86-64-v4", "x86_64_v4") for flag in own] for name, own in files.items()
        }
    library = out / target.library
    stamp = out / f"{target.library}.sha256"
    digest = _digest(compiler, flags, files)
    if library.exists() and stamp.exists() and stamp.read_text() == digest:
        return library

    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        environment = os.environ | {"ZIG_GLOBAL_CACHE_DIR": scratch, "ZIG_LOCAL_CACHE_DIR": scratch}

        def compile_file(name: str) -> str:
            made = f"{scratch}/{name}.o"
            _call(
                [*compiler, *(["c++"] if zig else []), *flags, *files[name], "-c", name, "-o", made],
                environment,
            )
            return made

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(compile_file, files))
        made = f"{scratch}/{target.library}"
        if zig:  # `zig c++` would build a C++ runtime first
            link = ["build-lib", "-dynamic", "-fno-compiler-rt", "-fno-ubsan-rt", "-OReleaseFast", "-fstrip"]
            link += ["-target", target.zig, f"-femit-bin={made}", *objects, "-lc", "-lm"]
        else:
            link = ["-shared", *flags, *objects, "-o", made, "-lm", "-lpthread"]
        _call([*compiler, *link], environment)
        os.replace(made, library)
    stamp.write_text(digest)
    return library


def _ziglang() -> list[str]:
    if importlib.util.find_spec("ziglang") is None:
        raise EngineError(
            "no compiler for the native library: pip install -r lambda_image/requirements-build.txt, "
            "or name one with --cxx"
        )
    return [sys.executable, "-m", "ziglang"]


def _digest(compiler: list[str], flags: list[str], files: dict[str, list[str]]) -> str:
    version = _call([*compiler, "version" if compiler[-1] == "ziglang" else "--version"], dict(os.environ))
    digest = hashlib.sha256(repr((compiler[1:], version, flags, files)).encode())
    for path in sorted([*SOURCES.glob("*.h"), *(SOURCES / name for name in files)]):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _call(command: list[str], environment: dict[str, str]) -> str:
    try:
        done = subprocess.run(
            command, cwd=SOURCES, env=environment, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise EngineError(f"no compiler for the native library: {shlex.join(command[:1])}: {error}") from None
    if done.returncode:
        raise EngineError(
            f"compiling the native library failed: {shlex.join(command)}\n{done.stdout}{done.stderr}"
        )
    return done.stdout


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m lambda_image.engine.native.build", description=__doc__)
    parser.add_argument(
        "--target", choices=["x86_64", "arm64"], help="Linux on this CPU; default: this machine"
    )
    parser.add_argument("--out", type=Path, default=COMPILED, help="folder of the library")
    parser.add_argument("--cxx", help="compiler, such as 'clang++'; default: ziglang's")
    parser.add_argument("--sanitize", help="such as 'address,undefined'; needs --cxx and its own --out")
    options = parser.parse_args()
    if options.sanitize and not (options.cxx and options.out != COMPILED):
        parser.error("--sanitize needs --cxx and --out")
    try:
        target = Target(NAMES[options.target]) if options.target else this_machine()
        cxx = shlex.split(options.cxx) if options.cxx else None
        print(build(target, options.out, cxx=cxx, sanitize=options.sanitize))
    except EngineError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
