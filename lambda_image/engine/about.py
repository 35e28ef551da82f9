"""What serves: versions, bundle, kernels, CPU, memory, and the self-test of the whole model."""

import platform
import resource
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from lambda_image.engine import golden
from lambda_image.engine.bundle.load import Bundle
from lambda_image.engine.bundle.manifest import ENGINE
from lambda_image.engine.decoder import Decoder
from lambda_image.engine.kernels import threads_of
from lambda_image.engine.native.cpu import cpu

PACKAGES = ("numpy", "tokenizers", "jinja2", "pydantic", "torch")


def about(bundle: Bundle, decoder: Decoder, *, prefixes: Mapping[str, int]) -> dict[str, object]:
    """JSON-ready. `prefixes` are the tokens of each world's prefix. BundleError if the self-test fails, or if
    there is none."""
    manifest = bundle.manifest
    began = time.perf_counter()
    error = golden.check_all(bundle, decoder)
    return {
        "engine": ENGINE,
        "versions": {"python": platform.python_version()} | _versions(),
        "bundle": {
            "name": manifest.name,
            "catalog": manifest.catalog,
            "format": manifest.format,
            "layout": manifest.layout,
            "source_sha256": manifest.source_sha256,
            "bytes": sum(entry.size for entry in manifest.files.values()),
            "prefixes": dict(prefixes),
        },
        "context_length": manifest.context_length,
        "kernels": decoder.kernels,
        "threads": threads_of(decoder),
        "cpu": cpu(),
        "memory_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "golden": {
            "passed": True,
            "relative_error": error,
            "seconds": round(time.perf_counter() - began, 3),
        },
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # serving needs no torch
            continue
    return found
