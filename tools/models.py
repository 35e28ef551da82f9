"""Writes the table in `docs/models.md` from the catalog: `python -m tools.models [FILE]`."""

import sys
from pathlib import Path

from lambda_image.engine.convert.catalog import Catalog, Entry, load_catalog

TARGET = Path(__file__).parent.parent / "docs" / "models.md"
BEGIN, END = "<!-- table: make docs -->", "<!-- end of table -->"
HEADER = (
    "Name",
    "torchchat",
    "Source",
    "Revision",
    "Licence",
    "Token",
    "Parameters",
    "Bundle, MB",
    "Context",
    "Lambda memory, MB",
)


def table(catalog: Catalog) -> str:
    """One row per model."""
    rows = [HEADER, ("---",) * 6 + ("---:",) * 4, *map(_row, catalog.models.values())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(entry: Entry) -> tuple[str, ...]:
    return (
        f"`{entry.name}`",
        ", ".join(f"`{name}`" for name in entry.torchchat),
        "this repository" if entry.is_local else f"`{entry.source}`",
        f"`{entry.revision[:12]}`" if entry.revision else "",
        entry.licence,
        "yes" if entry.gated else "no",
        f"{entry.parameters / 1e6:,.0f} M",
        f"{entry.bundle_bytes / 1e6:,.0f}",
        f"{entry.context_length:,}",
        f"{entry.memory_mb:,}",
    )


def updated(text: str, catalog: Catalog) -> str:
    """`text` with the table between its two marks written anew."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table(catalog)}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    path.write_text(updated(path.read_text(encoding="utf-8"), load_catalog()), encoding="utf-8")
