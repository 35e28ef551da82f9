"""`python -m lambda_image.engine.convert.build CHECKPOINT BUNDLE`: makes a bundle, with a progress bar."""

from pathlib import Path

import typer
from rich.console import Console
from rich.progress import Progress

from lambda_image.engine.convert.write import write_bundle
from lambda_image.engine.errors import EngineError


def main(checkpoint: Path, bundle: Path) -> None:
    """Quantizes CHECKPOINT, a folder in Hugging Face's layout, to int4; packs it for this CPU into BUNDLE."""
    try:
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("")
            manifest = write_bundle(
                checkpoint,
                bundle,
                progress=lambda name, done, total: bar.update(
                    task, description=name, completed=done, total=total
                ),
            )
    except (EngineError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    size = sum(entry.size for entry in manifest.files.values())
    typer.echo(f"{bundle}  {size / 1e6:,.1f} MB  {manifest.layout}")


if __name__ == "__main__":
    typer.run(main)
