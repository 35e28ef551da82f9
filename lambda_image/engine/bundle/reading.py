"""How weights come into memory: read ahead from a disk (`readahead.py`), or out of S3 (`s3.py`)."""

from typing import Protocol

from lambda_image.engine.bundle.manifest import Memory


class Progress(Protocol):
    """How far the weights have been read."""

    @property
    def loaded_bytes(self) -> int: ...

    @property
    def total_bytes(self) -> int: ...

    @property
    def seconds(self) -> float:
        """What reading them all took; 0 until it has."""
        ...


class Reading(Progress, Protocol):
    """A reading in the background. It raises nothing before `wait` (and `memory`, where there is no room)."""

    @property
    def memory(self) -> Memory:
        """The files that it reads into memory; what it reads ahead is mapped, and none of them."""
        ...

    def retry(self) -> None:
        """Goes on if the reading has failed."""
        ...

    def wait(self) -> None:
        """Blocks until all is read. Raises what stopped the reading: OSError, BundleError."""
        ...
