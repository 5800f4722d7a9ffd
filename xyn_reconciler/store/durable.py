"""What a power cut must not undo beyond the bytes of a file: its name."""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on disk: a rename is not durable before (fsync(2))."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
