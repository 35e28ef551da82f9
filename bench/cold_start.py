"""From nothing to the first token: `python -m bench.cold_start --shape llama3.2-1b`.

Every run is a fresh process with the bundle (as root: everything) dropped from the page cache, on a prompt of
300 tokens. Ours with the world's prompt in the bundle and without; llama.cpp with a saved state and without;
and the floor, the longer of reading the bytes and starting the interpreter with all imports. Then once each
with a slow disk, as Lambda's lazily loaded image is. The last line is one JSON document.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cgroup import Cgroup
from bench.common import CACHE, REPOSITORY, finish, paired, show, spread
from bench.llama import PYTHON, LlamaPython, gguf_of, start_llama
from bench.pagecache import drop, files_of
from bench.random_bundle import random_bundle
from bench.story import Messages, prompt
from bench.worlds import add_world
from lambda_image.engine.bundle.manifest import WEIGHTS
from lambda_image.engine.bundle.readahead import ReadAhead
from lambda_image.engine.text.tokens import ChatTokenizer

TOKENS = 300  # of the world's prompt
SLOW = (100, 40)  # MB/s
GAP_S, INIT_S = 0.5, 5.0  # between two reports of progress; of Lambda's init, whose limit is 10 s
IMPORTS = "import lambda_image.handler, lambda_image.engine.engine, lambda_image.engine.native.decoder"


def main(
    shape: Annotated[str, typer.Option(help="A catalog name: random weights of its shape.")] = "llama3.2-1b",
    runs: Annotated[int, typer.Option(min=5, help="Interleaved runs of everything.")] = 5,
    threads: Annotated[int, typer.Option(min=1)] = os.cpu_count() or 1,
    slow: Annotated[bool, typer.Option(help="Also with a slow disk.")] = True,
    llama_python: LlamaPython = PYTHON,
) -> None:
    """Time to the first token of a fresh process."""
    bundle = random_bundle(shape)
    gguf = gguf_of(bundle, llama_python)
    tokenizer = ChatTokenizer.load(bundle)
    told, unknown = (prompt(tokenizer, TOKENS, seed=seed) for seed in (0, 1))
    known = add_world(bundle, told)
    ids = tokenizer.encode_chat(told)
    state = CACHE / f"{bundle.name}.state"
    with start_llama(llama_python) as child:
        child.ask("open", model=str(gguf), threads=threads, capacity=512)
        child.ask("prefill", ids=ids[:known])  # as many as our bundle knows
        saved = child.ask("save", path=str(state), ids=ids[:known])

    cold = [*files_of(bundle), gguf, state]
    rivals: dict[str, Callable[[], dict[str, Any]]] = {
        "ours": lambda: _ours(bundle, told),
        "ours_without_prefix": lambda: _ours(bundle, unknown),
        "llama_cpp": lambda: _llama(llama_python, gguf, threads, ids),
        "llama_cpp_saved": lambda: _llama(llama_python, gguf, threads, ids[known:], state),
        "reading": lambda: {"first_token": _read(bundle / WEIGHTS)},
        "imports": lambda: {"first_token": _imports(bundle)},
    }
    marks: dict[str, list[dict[str, Any]]] = {name: [] for name in rivals}
    for run in range(runs):
        turn = run % len(rivals)  # everyone follows everyone: a disk may be slow after a long reading
        for name, start in (*list(rivals.items())[turn:], *list(rivals.items())[:turn]):
            drop(cold)
            marks[name].append(start())
        print(f"run {run + 1}: " + "  ".join(f"{k} {v[-1]['first_token']:.2f}" for k, v in marks.items()))
    seconds = {name: [run["first_token"] for run in found] for name, found in marks.items()}
    seconds["floor"] = [max(pair) for pair in zip(seconds["reading"], seconds["imports"], strict=True)]
    pairs = {
        "cold_vs_llama_cpp": paired(seconds["ours"], seconds["llama_cpp"]),
        "cold_vs_llama_cpp_saved": paired(seconds["ours"], seconds["llama_cpp_saved"]),
        "cold_vs_floor": paired(seconds["ours"], seconds["floor"]),
        "cold_without_prefix_vs_llama_cpp": paired(seconds["ours_without_prefix"], seconds["llama_cpp"]),
    }
    for name, found in (seconds | pairs).items():
        show(name, spread(found), "times" if name in pairs else "s")
    finish(
        "cold_start",
        {
            "shape": shape,
            "weight_bytes": (bundle / WEIGHTS).stat().st_size,
            "prompt_tokens": len(ids),
            "prefix_tokens": known,
            "llama_cpp_state_bytes": saved,
            "threads": threads,
            "runs": runs,
            "everything_cold": os.geteuid() == 0,  # else libraries came from memory
            "seconds": {name: spread(found) for name, found in seconds.items()},
            "timeline": {
                name: {mark: spread(run[mark] for run in found) for mark in found[0]}
                for name, found in marks.items()
            },
            "ratios": {name: spread(found)["median"] for name, found in pairs.items()},
            "ratio_ranges": {name: spread(found) for name, found in pairs.items()},
            "slow_disk": {f"{rate}_mb_per_s": _slow(bundle, told, cold, rate) for rate in SLOW if slow},
        },
    )


def _ours(bundle: Path, messages: Messages) -> dict[str, Any]:
    marks: dict[str, Any] = _cold_child(bundle, messages)["marks"]
    return marks


def _cold_child(
    bundle: Path, messages: Messages, group: Cgroup | None = None, seconds: float = 0.0
) -> dict[str, Any]:
    """`group` is entered before the interpreter starts; `seconds` stretch the reading."""
    command = [sys.executable, "-m", "bench.cold_child", json.dumps(messages)]
    if group is not None:
        command = ["sh", "-c", f'echo $$ > {group.procs}; exec "$@"', "sh", *command]
    environment = os.environ | {"BUNDLE_DIR": str(bundle), "COLD_START_S": str(seconds)}
    environment["CURTAIN_BENCH_BEGAN"] = str(time.monotonic())
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _llama(
    python: Path, gguf: Path, threads: int, ids: list[int], state: Path | None = None
) -> dict[str, Any]:
    """`ids` are what is left to read, after the state that is restored if there is one."""
    marks, began = {}, time.monotonic()
    with start_llama(python) as child:
        child.ask("version")
        marks["imports"] = time.monotonic() - began
        child.ask("open", model=str(gguf), threads=threads, capacity=512)
        marks["ready"] = time.monotonic() - began
        if state is None:
            child.ask("prefill", ids=ids)
        else:
            child.ask("restore", path=str(state), capacity=512)
            child.ask("extend", ids=ids)
        child.ask("best")
        marks["first_token"] = time.monotonic() - began
    return marks


def _read(path: Path) -> float:
    """Seconds of reading a file as we do, which is the fastest way we know, and nothing else."""
    began, reading = time.monotonic(), ReadAhead(path)
    reading.start()
    reading.wait()
    return time.monotonic() - began


def _imports(bundle: Path) -> float:
    """Seconds of an interpreter that only imports what serving needs; nothing is read ahead."""
    began = time.monotonic()
    empty = os.environ | {"BUNDLE_DIR": str(bundle / "none")}
    subprocess.run([sys.executable, "-c", IMPORTS], cwd=REPOSITORY, env=empty, check=True)
    return time.monotonic() - began


def _slow(bundle: Path, messages: Messages, cold: list[Path], rate: int) -> dict[str, Any]:
    """One cold start from a disk of `rate` MB/s, throttled by the kernel, or else by the read-ahead."""
    drop(cold)
    with ExitStack() as stack:
        if real := Cgroup.available("blkio"):
            group = stack.enter_context(Cgroup("blkio", "disk"))
            group.limit_reads(bundle, rate * 1_000_000)
            found = _cold_child(bundle, messages, group=group)
        else:
            stretched = (bundle / WEIGHTS).stat().st_size / (rate * 1e6)
            found = _cold_child(bundle, messages, seconds=stretched)
    print(f"{rate} MB/s: {found['marks']}  longest gap {found['longest_gap_s']:.3f} s", flush=True)
    return {
        "throttled_by": "the kernel" if real else "the read-ahead",
        "marks": {name: round(seconds, 3) for name, seconds in found["marks"].items()},
        "longest_gap_s": round(found["longest_gap_s"], 3),
        "within": found["longest_gap_s"] <= GAP_S and found["marks"]["init"] <= INIT_S,
    }


if __name__ == "__main__":
    typer.run(main)
