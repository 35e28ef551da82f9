"""What is proven of an image. Each function returns what it saw; AssertionError for what should not be."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.arm64.instructions import dot_products
from tests.image.build import Image, build, digests, sizes
from tests.image.clients import SCRIPT, services
from tests.image.contents import files, uncompiled, unreadable, unwanted
from tests.image.engine import REPOSITORY, Docker
from tests.image.function import Function, once, running

BESIDE_WEIGHTS = {"model": 450e6, "prologue": 450e6, "model-aten": 700e6}  # bytes, at most
INIT_S = 10  # Lambda's limit
MEMORY = 0.75  # of the function's, at most: a long story's keys and values take more than one reply's
TELL = {
    "kind": "tell",
    "messages": [{"role": "user", "content": "I open the little green door."}],
    "seed": 1,
    "max_tokens": 24,
}
DROPPED = "torch has dropped KleidiAI"  # what the engine says then
MISSED = "Error in cpuinfo: failed to parse"  # what pytorch's cpuinfo says without the image's /sys files
THREADS = 6  # of a function with 10,240 MB

# How near each world's first phrasing lies to itself in the index that was made at build time.
FAQ = """
import json, pathlib
from prologue.faq.embedder import Embedder
from prologue.faq.index import load_index, phrasings
from prologue.world import WORLDS, load_world
faq, found = pathlib.Path("/opt/faq"), {}
embedder = Embedder.load(faq)
for path in sorted(WORLDS.glob("*/world.yaml")):
    world = load_world(path.parent)
    vector = embedder(phrasings(world)[0])
    score, row = (part[0][0].item() for part in load_index(faq, world).search(vector[None], 1))
    found[world.name] = [row, score]
print(json.dumps(found))
"""


def image(docker: Docker, image: Image) -> dict[str, Any]:
    """Size by layer, contents, user."""
    layers = sizes(docker, image)
    weights = sum(size for made_by, size in layers.items() if "/opt/bundle" in made_by)
    beside = sum(layers.values()) - weights
    assert beside < BESIDE_WEIGHTS[image.target], (
        f"{image.tag}: {beside / 1e6:.0f} MB beside the weights: {layers}"
    )
    members = files(docker, image)
    found = unwanted(members, torch=image.target == "model-aten")
    assert not found, f"{image.tag} has {found}"
    assert not (found := unreadable(members)), f"{image.tag}: Lambda's user can't read {found[:5]}"
    assert not (found := uncompiled(members)), f"{image.tag}: no bytecode for {found[:5]}"
    for name in ("possible", "present"):
        assert members[f"sys/devices/system/cpu/{name}"].size == 4
    config = json.loads(docker("image", "inspect", "--format", "{{json .Config}}", image.tag))
    assert config["User"] == "993:990"
    assert config["Entrypoint"][0].startswith("/"), config["Entrypoint"]  # or Lambda won't have it
    assert not [setting for setting in config["Env"] if "SECRET" in setting or "TOKEN" in setting]
    assert any("/opt/bundle" in made_by for made_by in layers) == (image.target != "prologue")
    return {"bytes": sum(layers.values()), "beside_weights_bytes": beside, "layers": layers}


def model(docker: Docker, image: Image) -> dict[str, Any]:
    """The model function, invoked: what serves, a reply, the same warm, a bad event, SIGTERM."""
    with running(docker, image) as function:
        about = function.invoke({"kind": "about"})
        assert about.get("golden", {}).get("passed") is True, about
        if image.emulated and image.architecture == "arm64":  # as the core of function.CPU
            assert about["kernels"] == "native/sdot"
        assert about["kernels"] != "native/portable"
        assert "torch" not in about["versions"]
        assert about["cpu"]["name"]
        assert about["bundle"]["name"] == "demo"
        assert about["memory_peak_bytes"] > 0
        assert about["memory_limit_mb"] == image.memory_mb
        first, again = function.invoke(TELL), function.invoke(TELL)
        assert first["text"], first
        assert again["text"] == first["text"]
        assert (
            again["metrics"]["kv_reused_tokens"] > first["metrics"]["kv_reused_tokens"]
        )  # warm: it remembers
        bad = function.invoke({"kind": "sing"})
        assert bad["errorType"] == "ValueError", bad
        assert "'sing'" in bad["errorMessage"], bad
        empty = function.invoke({"kind": "tell", "messages": []})
        assert empty["errorMessage"].startswith("messages: "), empty
        assert function.log().count("INIT START") == 1
        init_s, peak = function.init_s(), _peak(function, image)
        assert image.emulated or init_s < INIT_S, f"init took {init_s} s"
        status = function.stop()
        assert status != 137, "SIGTERM didn't end it"
    return {
        "about": about,
        "text": first["text"],
        "bad_event": bad["errorMessage"],
        "init_s": init_s,
        "memory_peak_bytes": peak,
        "exit_status_after_sigterm": status,
    }


def clients(docker: Docker, image: Image) -> list[str]:
    """Of AWS's services, made in the container: botocore's data of most services is left out."""
    wanted = services()
    assert once(docker, image, "-c", SCRIPT, *wanted).split() == wanted
    return wanted


def aten(docker: Docker, image: Image) -> dict[str, Any]:
    """ATen's kernels in the image that has them, invoked: KleidiAI serves, by this core's instructions."""
    with TemporaryDirectory() as folder:
        trace = Path(folder)
        trace.chmod(0o777)
        with running(docker, image, trace=trace if image.emulated else None) as function:
            about = function.invoke({"kind": "about"})
            # Told only if torch packs int4 as bytes, the very bytes of a bundle.
            assert about["kernels"] == "aten/kleidiai", about
            assert about["golden"]["passed"] is True, about
            assert "torch" in about["versions"], about
            text = function.invoke(TELL)["text"]
            assert text
            assert DROPPED not in function.log()
            init_s, peak = function.init_s(), _peak(function, image)
            function.stop()
        executed: Counter[str] = Counter()
        for log in trace.iterdir():
            executed.update(dot_products(log))
    if image.emulated:  # as the core of function.CPU
        assert executed["sdot"], "no dot product was executed"
        assert not executed["smmla"], "such a core has no such instruction"
    return {
        "about": about,
        "text": text,
        "init_s": init_s,
        "memory_peak_bytes": peak,
        "instructions": executed,
    }


def aten_without_sys(docker: Docker, image: Image) -> dict[str, Any]:
    """What becomes of KleidiAI without the image's /sys files: torch drops it, the engine says so."""
    with _nothing() as empty, running(docker, image, sys=empty) as function:
        about = function.invoke({"kind": "about"})
        log = function.log()
    assert about["kernels"].startswith("aten/int4pack"), about
    said = [line for line in log.splitlines() if DROPPED in line]
    assert said, log
    return {"kernels": about["kernels"], "said": said[0]}


def memory_limit(docker: Docker, image: Image) -> str:
    """A function with too little memory is killed, and its caller told."""
    with running(docker, image, memory_mb=24) as function:
        answer = function.invoke(TELL)
        assert answer.get("errorType") == "Runtime.ExitError", answer
        return str(answer["errorMessage"])


def threads(docker: Docker, image: Image) -> dict[str, Any]:
    """The model on six threads, started by hand in the same container: logits, who computes, as whom."""
    script = REPOSITORY / "tests" / "arm64" / "serve.py"
    told = once(docker, image, "/script.py", "/opt/bundle", str(THREADS), script=script)
    found = json.loads(told.splitlines()[-1])
    assert found["about"]["threads"] == THREADS
    if image.emulated:  # else the demo model is done before the kernel's clock has noticed
        assert found["busy_threads"] >= THREADS
    assert found["user"] == 993
    assert not found["torch_loaded"]
    return {name: found[name] for name in ("logits_sha256", "busy_threads", "user")}


def text_without_sys(docker: Docker, image: Image) -> str:
    """What the model tells without the image's /sys files: our kernels don't look there, torch's would."""
    with _nothing() as empty, running(docker, image, sys=empty) as function:
        return str(function.invoke(TELL)["text"])


def prologue(docker: Docker, image: Image) -> dict[str, Any]:
    """The light function, invoked; its FAQ, searched, with and without the image's /sys files."""
    with running(docker, image) as function:
        answer = function.invoke({"Records": []})
        assert "errorMessage" not in answer, answer
        init_s, peak = function.init_s(), _peak(function, image)
        assert image.emulated or init_s < INIT_S
    told = once(docker, image, "-c", FAQ)
    found = json.loads(told.splitlines()[-1])
    assert len(found) > 1
    assert all(row == 0 and score > 0.99 for row, score in found.values()), found
    assert MISSED not in told, told
    seen = {"faq": found, "init_s": init_s, "memory_peak_bytes": peak}
    if image.architecture == "arm64":
        with _nothing() as empty:
            missed = once(docker, image, "-c", FAQ, sys=empty)
        assert MISSED in missed, "onnxruntime doesn't miss the /sys files: is this still a test of them?"
        seen["without_sys"] = next(line for line in missed.splitlines() if MISSED in line)
    return seen


def _peak(function: Function, image: Image) -> int | None:
    """The container's, which must have room left; None where another machine's kernel runs it."""
    peak, limit = function.peak_bytes(), image.memory_mb << 20
    assert peak or not function.docker.started_here, "this kernel tells no group's peak of memory"
    assert (peak or 0) < MEMORY * limit, f"{image.tag} took {peak} bytes of its function's {limit}"
    return peak


@contextmanager
def _nothing() -> Iterator[Path]:
    """An empty folder that everybody may look into."""
    with TemporaryDirectory() as empty:
        Path(empty).chmod(0o755)
        yield Path(empty)


def new_code(docker: Docker, image: Image) -> str:
    """How much a line of code changes: one layer."""
    with TemporaryDirectory() as scratch:
        context = Path(scratch)
        shutil.copy2(REPOSITORY / ".dockerignore", context)
        for folder in ("lambda_image", "prologue", "session"):
            shutil.copytree(REPOSITORY / folder, context / folder, symlinks=True)
        with (context / "lambda_image" / "handler.py").open("a") as handler:
            handler.write("# touched\n")
        tag = f"curtain-{image.target}:touched"
        touched = build(docker, image.target, image.architecture, context=context, tag=tag)
    before, after = digests(docker, image), digests(docker, touched)
    docker("rmi", touched.tag)
    changed = [number for number, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    assert len(changed) == 1, (before, after)
    return f"1 of {len(before)} layers"
