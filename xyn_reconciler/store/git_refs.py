"""Refs: read, list and move them by compare-and-swap, durably.

dulwich keeps git's locking protocol (``<ref>.lock``, packed refs); what it
lacks is put around it here: patience with a lock that another process holds
for a moment, the sync of the folders, and one error for "somebody was faster".
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from dulwich.file import FileLocked
from dulwich.objects import ObjectID
from dulwich.refs import DiskRefsContainer, Ref, check_ref_format

from xyn_reconciler.model.errors import ConflictError, InvalidError, UnavailableError
from xyn_reconciler.store.git_objects import sync_folder
from xyn_reconciler.store.git_trees import PathTakenError

LOCK_PATIENCE = 5.0
"""Seconds to wait for another writer's lock; locks are held for milliseconds."""

_PAUSE = 0.005


class Refs:
    """The refs of one repository."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._container = DiskRefsContainer(path)
        # The container caches the packed refs without a lock of its own.
        self._lock = threading.Lock()

    def read(self, name: str) -> str | None:
        """The object a ref points at; None without the ref, and for a name that no ref can have."""
        ref = Ref(name.encode())
        if not check_ref_format(ref):
            return None
        with self._lock:
            # Loose before packed, as git does: packing writes the one before it removes the other.
            value = self._container.read_ref(ref)
        return value.decode() if value and not value.startswith(b"ref:") else None

    def below(self, prefix: str) -> dict[str, str]:
        """Name to object of every ref below a prefix that ends with a slash, sorted by name."""
        with self._lock:
            names = self._container.subkeys(Ref(prefix.rstrip("/").encode() + b"/"))
        full = sorted(f"{prefix.rstrip('/')}/{name.decode('utf-8', 'replace')}" for name in names)
        return {name: sha for name in full if (sha := self.read(name)) is not None}

    def swap(self, name: str, expected: str | None, new: str | None) -> None:
        """Move a ref from ``expected`` (None: not there) to ``new`` (None: gone) and sync it.

        Raises :class:`ConflictError` if it is elsewhere, :class:`PathTakenError`
        where ``a`` is to stand beside ``a/b``, :class:`InvalidError` for a name
        that no ref can have.
        """
        ref = Ref(name.encode())
        if not name.startswith("refs/") or not check_ref_format(ref):
            raise InvalidError(f"{name!r} is not the name of a ref")
        old = ObjectID(expected.encode()) if expected else None
        if new is None:
            moved = self._patiently(name, lambda: self._remove(ref, old))
        else:
            value = ObjectID(new.encode())
            moved = self._patiently(name, lambda: self._set(ref, old, value))
        if not moved:
            raise ConflictError(f"{name} was moved by somebody else in the meantime")
        self._sync(name)

    def _set(self, ref: Ref, old: ObjectID | None, new: ObjectID) -> bool:
        if old is None:
            self._check_room(ref)
            return self._container.add_if_new(ref, new)
        return self._container.set_if_equals(ref, old, new)

    def _check_room(self, ref: Ref) -> None:
        """``a`` and ``a/b`` exclude each other; dulwich notices only among loose refs."""
        parts = ref.split(b"/")
        above = [Ref(b"/".join(parts[:count])) for count in range(2, len(parts))]
        if any(self._container.read_ref(name) for name in above) or self._container.subkeys(
            Ref(ref + b"/")
        ):
            raise PathTakenError(f"{ref.decode()} cannot be: another ref stands in its way")

    def _remove(self, ref: Ref, old: ObjectID | None) -> bool:
        return old is not None and self._container.remove_if_equals(ref, old)

    def _patiently(self, name: str, change: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + LOCK_PATIENCE
        while True:
            try:
                with self._lock:
                    return change()
            except FileLocked as error:
                if time.monotonic() > deadline:
                    raise UnavailableError(
                        f"{name} stays locked by another process ({error.lockfilename!s})"
                    ) from error
            except FileNotFoundError:
                # Another process removed the folder of the last draft in it, just now.
                if time.monotonic() > deadline:
                    raise
            except (NotADirectoryError, IsADirectoryError) as error:
                raise PathTakenError(f"{name} cannot be: another ref stands in its way") from error
            time.sleep(_PAUSE)

    def _sync(self, name: str) -> None:
        """The ref's folder and every folder above it: any of them may be new."""
        folder = (self._path / name).parent
        while folder != self._path:
            sync_folder(folder)
            folder = folder.parent
        sync_folder(self._path)
