"""The kernels' inner loops as llvm-mca simulates them: no such CPU is needed, and no memory is slow.

A kernel is compiled as the library is. Its inner loops are found in the assembly by their dot products, of
which one instruction does a known number of multiply-adds; llvm-mca then runs each loop on a model of a core.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lambda_image.engine.native.build import FLAGS, KERNELS, SOURCES
from lambda_image.engine.native.target import Architecture

OLDEST = 17  # the first LLVM with schedules of its own for Neoverse N1 and V1; before, N1 ran as a Cortex-A57
ITERATIONS = 300

# What one instruction multiplies and adds: by mnemonic and kind of register.
DOTS = {
    "sdot": re.compile(r"^\s+sdot\s+v\d+\.4s", re.MULTILINE),
    "smmla": re.compile(r"^\s+smmla\s+v\d+\.4s", re.MULTILINE),
    "avx2": re.compile(r"^\s+vpmaddubsw\s.*%ymm", re.MULTILINE),
    "avx512": re.compile(r"^\s+vpmaddubsw\s.*%zmm", re.MULTILINE),
    "vnni": re.compile(r"^\s+vpdpbusd\s.*%zmm", re.MULTILINE),
}
PRODUCTS = {"sdot": 16, "smmla": 32, "avx2": 32, "avx512": 64, "vnni": 64}
SHIFTED = re.compile(
    r"^\s+shl\s+v\d+\.16b", re.MULTILINE
)  # lower nibbles on their way up, in the loop that unpacks


class McaError(Exception):
    """No fit llvm-mca, or it or the compiler failed; the message says what to do."""


@dataclass(frozen=True)
class Loop:
    """One run through an inner loop, in a simulated core's steady state."""

    instructions: int
    cycles: float
    products: int  # multiply-adds

    @property
    def rate(self) -> float:
        """Multiply-adds a cycle."""
        return self.products / self.cycles


@dataclass(frozen=True)
class Kernel:
    """The loops of one kernel on one core. A run through `unpack`, if there is one, is a group of a panel."""

    decode: Loop
    prompt: Loop
    unpack: Loop | None

    def prompt_rate(self, chunk: int) -> float:
        """Multiply-adds a cycle, if a chunk of so many tokens shares one unpacking."""
        unpacking = self.unpack.cycles if self.unpack else 0.0
        return 256 * chunk / (256 * chunk / self.prompt.rate + unpacking)


def simulate(architecture: Architecture, name: str, core: str, program: str) -> Kernel:
    """`program` is llvm-mca's. McaError if it doesn't know the core, or the loops aren't found."""
    found = _loops(_assembly(architecture, name))

    def products(loop: str, dot: str) -> int:
        return len(DOTS[dot].findall(loop)) * PRODUCTS[dot]

    # One token is sdot's work in smmla.cpp too.
    single = "sdot" if architecture == "aarch64" else name
    decodes = [loop for loop in found if products(loop, single)]
    prompts = [loop for loop in found if products(loop, name)]
    if not decodes or not prompts:
        raise McaError(f"{name}.cpp: no inner loop with dot products; was a loop over tokens not unrolled?")
    decode = min(decodes, key=lambda loop: products(loop, single))
    prompt = max(prompts, key=lambda loop: products(loop, name))
    unpack = next((loop for loop in found if SHIFTED.search(loop) and not products(loop, single)), None)

    def run(loop: str | None, dot: str) -> Loop:
        return _run(loop or "", products(loop or "", dot), architecture, core, program)

    return Kernel(run(decode, single), run(prompt, name), run(unpack, name) if unpack else None)


def find_program() -> str:
    """llvm-mca's name, the newest. McaError without one that is new enough."""
    names = [f"llvm-mca-{version}" for version in range(40, OLDEST - 1, -1)] + ["llvm-mca"]
    for name in filter(shutil.which, names):
        said = subprocess.run([name, "--version"], capture_output=True, text=True, check=False).stdout
        version = re.search(r"version (\d+)", said)
        if version and int(version[1]) >= OLDEST:
            return name
    raise McaError(f"llvm-mca {OLDEST} or newer is needed; on Debian 12: apt-get install llvm-19")


def _assembly(architecture: Architecture, name: str) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "kernel.s"
        flags = [*FLAGS, "-Wno-unused-command-line-argument", *KERNELS[architecture][f"{name}.cpp"]]
        flags = [flag.replace("x86-64-v4", "x86_64_v4") for flag in flags]  # ziglang's name
        target = ["-target", f"{architecture}-linux-gnu.2.28", "-g0", "-S", f"{name}.cpp", "-o", str(out)]
        command = [sys.executable, "-m", "ziglang", "c++", *flags, *target]
        done = subprocess.run(command, cwd=SOURCES, capture_output=True, text=True, check=False)
        if done.returncode:
            raise McaError(f"compiling {name}.cpp failed:\n{done.stderr}")
        return out.read_text(encoding="utf-8")


def _loops(assembly: str) -> list[str]:
    """The instructions of every loop that has none inside it."""
    lines = assembly.splitlines()
    labels = {line.split(":")[0]: at for at, line in enumerate(lines) if re.match(r"\.?\w+:", line)}
    spans = []
    for at, line in enumerate(lines):
        branch = re.match(r"\s+(?:j[a-z]+|b\.[a-z]+|cbn?z|tbn?z)\s.*?(\.L\w+)", line)
        if branch and labels.get(branch[1], at + 1) <= at:
            spans.append((labels[branch[1]], at))
    return [
        "\n".join(line for line in lines[first : last + 1] if re.match(r"\s+[a-z]", line))
        for first, last in spans
        if not any(first <= a and b <= last for a, b in spans if (a, b) != (first, last))
    ]


def _run(loop: str, products: int, architecture: Architecture, core: str, program: str) -> Loop:
    comment = "//" if architecture == "aarch64" else "#"
    text = f"{comment} LLVM-MCA-BEGIN\n{loop}\n{comment} LLVM-MCA-END\n"
    options = [f"-mtriple={architecture}-linux-gnu", f"-mcpu={core}", f"-iterations={ITERATIONS}", "-json"]
    done = subprocess.run([program, *options], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise McaError(f"{program} -mcpu={core} failed:\n{done.stderr}")
    summary = json.loads(done.stdout)["CodeRegions"][0]["SummaryView"]
    return Loop(summary["Instructions"] // ITERATIONS, summary["TotalCycles"] / ITERATIONS, products)
