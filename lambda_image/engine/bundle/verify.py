"""`python -m lambda_image.engine.bundle.verify BUNDLE [--weights s3://BUCKET/MODEL]`: every byte of a bundle
against its manifest, and the self-test of the whole model on this machine's kernels."""

from pathlib import Path
from typing import Annotated

import typer

from lambda_image.engine.bundle.load import open_bundle
from lambda_image.engine.bundle.manifest import NOTHING, Memory, verify_bundle
from lambda_image.engine.errors import EngineError
from lambda_image.engine.golden import check_all
from lambda_image.engine.kernels import open_decoder


def main(
    bundle: Path,
    weights: Annotated[
        str | None, typer.Option(help="Those that lie there instead: s3://BUCKET/MODEL.")
    ] = None,
) -> None:
    """Checks the sha256 of every file of BUNDLE, then what the model computes."""
    try:
        memory = _read(bundle, weights) if weights else NOTHING
        manifest = verify_bundle(bundle, memory)
        opened = open_bundle(bundle, memory=memory)
        decoder = open_decoder(opened)
        error = check_all(opened, decoder)
    except (EngineError, OSError) as failure:
        typer.echo(f"error: {failure}", err=True)
        raise typer.Exit(1) from None
    passed = f"self-test passed (relative error {error:.1e})"
    typer.echo(f"{bundle}  {len(manifest.files)} files as built; {decoder.kernels}: {passed}")


def _read(bundle: Path, url: str) -> Memory:
    from lambda_image.engine.bundle.s3 import S3Weights

    reading = S3Weights(bundle, url)
    reading.start()
    reading.wait()
    return reading.memory


if __name__ == "__main__":
    typer.run(main)
