"""`python -m lambda_image.engine.bundle.verify BUNDLE`: every byte of a bundle against its manifest, and the
self-test of the whole model on this machine's kernels."""

from pathlib import Path

import typer

from lambda_image.engine.bundle.load import open_bundle
from lambda_image.engine.bundle.manifest import verify_bundle
from lambda_image.engine.errors import EngineError
from lambda_image.engine.golden import check_all
from lambda_image.engine.kernels import open_decoder


def main(bundle: Path) -> None:
    """Checks the sha256 of every file of BUNDLE, then what the model computes."""
    try:
        manifest = verify_bundle(bundle)
        opened = open_bundle(bundle)
        decoder = open_decoder(opened)
        error = check_all(opened, decoder)
    except EngineError as failure:
        typer.echo(f"error: {failure}", err=True)
        raise typer.Exit(1) from None
    passed = f"self-test passed (relative error {error:.1e})"
    typer.echo(f"{bundle}  {len(manifest.files)} files as built; {decoder.kernels}: {passed}")


if __name__ == "__main__":
    typer.run(main)
