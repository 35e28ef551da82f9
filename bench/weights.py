"""Weights out of S3 against weights out of a file: `python -m bench.weights --shape llama3.2-1b`.

A server on this machine stands for S3. First it is as slow as S3 and Lambda are said to be: the first byte
after 24 ms, 90 MB/s for a connection, and for a function 375 MB/s where the bandwidth was asked for, else 78.
There each number of connections and size of a part is tried. Then it is let go, also with TLS, for what
reading costs the CPU. Each reading is a process of its own; the file is read ahead, from the disk and from
the page cache, in the same run. How fast S3 and Lambda really are, no machine but theirs can tell. The last
line is one JSON document.
"""

import datetime
import ipaddress
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.common import REPOSITORY, finish, show, spread
from bench.pagecache import drop
from bench.random_bundle import random_bundle
from lambda_image.engine.bundle.manifest import WEIGHTS

FIRST_BYTE_MS, CONNECTION = 24, 90  # MB/s; docs/deploy.md says whose figures these are
GRANTED, USUAL = 375, 78  # MB/s: 3,000 and 625 Mbps
READ = """
import json, os, resource, sys
from dataclasses import replace
from pathlib import Path
bundle, tuned = Path(sys.argv[1]), json.loads(sys.argv[2])
if tuned is None:
    from lambda_image.engine.bundle.readahead import ReadAhead
    reading = ReadAhead(bundle / "weights.bin")
else:
    from lambda_image.engine.bundle.s3 import S3Weights, tuning
    reading = S3Weights(bundle, "s3://weights/bench", tuned=replace(tuning(), **tuned))
def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
reading.start()
before = cpu()  # what is imported to read, the function imports anyway
reading.wait()
used, peak = cpu() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"bytes": reading.total_bytes, "seconds": reading.seconds, "cpu_s": used, "peak": peak}))
"""


def main(
    shape: Annotated[str, typer.Option(help="A catalog name: random weights of its shape.")] = "llama3.2-1b",
    runs: Annotated[int, typer.Option(min=1, help="Interleaved runs of everything.")] = 3,
    connections: Annotated[str, typer.Option(help="Numbers of connections.")] = "4,8,16,32",
    parts: Annotated[str, typer.Option(help="MiB of a part.")] = "4,8,16,32",
) -> None:
    """MB/s and CPU seconds for each GB."""
    bundle = random_bundle(shape)
    found: dict[str, list[dict[str, Any]]] = {}

    def note(name: str, result: dict[str, Any]) -> None:
        found.setdefault(name, []).append(result)

    tried = [
        {"connections": count, "part_kib": size << 10}
        for count in map(int, connections.split(","))
        for size in map(int, parts.split(","))
    ]
    with tempfile.TemporaryDirectory() as folder:
        certificate = _certificate(Path(folder) / "certificate.pem")
        for run in range(runs):
            drop([bundle / WEIGHTS])
            note("file, from the disk", _read(bundle))
            note("file, from the page cache", _read(bundle))
            for total in (GRANTED, USUAL):
                shaped = (
                    f"--first-byte-ms={FIRST_BYTE_MS}",
                    f"--connection={CONNECTION}",
                    f"--together={total}",
                )
                with _served(bundle, *shaped) as endpoint:
                    for tuned in tried if total == GRANTED else [{}]:
                        name = " ".join(f"{key}={value}" for key, value in tuned.items()) or "as it is set"
                        note(f"{total} MB/s, {name}", _read(bundle, tuned, AWS_ENDPOINT_URL=endpoint))
            with _served(bundle) as endpoint:
                note("S3 at once", _read(bundle, {}, AWS_ENDPOINT_URL=endpoint))
            with _served(bundle, f"--tls={certificate}") as endpoint:
                trusted = {"AWS_ENDPOINT_URL": endpoint, "AWS_CA_BUNDLE": str(certificate)}
                note("S3 at once, TLS", _read(bundle, {}, **trusted))
            print(f"run {run + 1} of {runs}")
    document: dict[str, Any] = {}
    for name, results in found.items():
        figures = {
            "MB_per_s": spread(one["bytes"] / one["seconds"] / 1e6 for one in results),
            "cpu_s_per_GB": spread(one["cpu_s"] / one["bytes"] * 1e9 for one in results),
            "beside_weights_MB": spread((one["peak"] - one["bytes"]) / 1e6 for one in results),
        }
        show(name, figures["MB_per_s"], "MB/s")
        show("", figures["cpu_s_per_GB"], "CPU s/GB")
        document[name] = figures
    finish(
        "weights", {"shape": shape, "weight_bytes": (bundle / WEIGHTS).stat().st_size, "readings": document}
    )


def _read(bundle: Path, tuned: Mapping[str, int] | None = None, **environment: str) -> dict[str, Any]:
    """One reading in a fresh process; without `tuned`, of the file."""
    keys = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1"}
    done = subprocess.run(
        [sys.executable, "-c", READ, str(bundle), json.dumps(tuned)],
        cwd=REPOSITORY,
        env=os.environ | keys | environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@contextmanager
def _served(bundle: Path, *options: str) -> Iterator[str]:
    command = [sys.executable, "-m", "bench.s3_server", str(bundle / WEIGHTS), *options]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        scheme = "https" if any(option.startswith("--tls") for option in options) else "http"
        try:
            yield f"{scheme}://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.kill()


def _certificate(path: Path) -> Path:
    """One that this machine gives itself, for an hour, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(here, critical=False)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


if __name__ == "__main__":
    typer.run(main)
