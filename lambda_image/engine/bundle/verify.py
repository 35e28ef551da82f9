"""`python -m lambda_image.engine.bundle.verify BUNDLE`: every byte of a bundle against its manifest."""

from pathlib import Path

import typer

from lambda_image.engine.bundle.manifest import verify_bundle
from lambda_image.engine.errors import EngineError


def main(bundle: Path) -> None:
    """Checks the sha256 of every file of BUNDLE."""
    try:
        manifest = verify_bundle(bundle)
    except EngineError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{bundle}  {len(manifest.files)} files as built")


if __name__ == "__main__":
    typer.run(main)
