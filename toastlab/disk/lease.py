"""One run, one writer: a lock that the system frees when its holder dies, however it dies.

A file system without such locks (and Windows, where Python's are others) is told of in the log and
worked on without: two processes may then train the same run at a time. That wastes time and loses
nothing: equal runs are equal, each writes aside under a name of its own, a rename puts it in place.
"""

import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)
NAME = "lock"


class Lease:
    """The right to write in a folder. Not for several threads at a time, like most objects.

    Attributes:
        sole: whether it is held, so that nobody else writes there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._handle = folder, -1

    @property
    def sole(self) -> bool:
        return self._handle >= 0

    def take(self) -> bool:
        """Makes the folder and takes its lock if it is free; True where there are no locks.

        Raises:
            OSError: the folder cannot be written, or a link lies where the lock should.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if fcntl is None:
            return True
        file = self.folder / NAME
        try:
            # O_NOFOLLOW: a link must not lead out of the store
            handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:  # its holder is just clearing the folder away
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            os.close(handle)
            return False
        except OSError as error:
            os.close(handle)
            log.warning("no locks in %s (%s): do not train one run twice", self.folder, error)
            return True
        with suppress(FileNotFoundError):
            # A lock on a file that was cleared away in the meantime would guard nothing.
            if os.path.samestat(os.fstat(handle), os.stat(file)):
                self._handle = handle
                return True
        os.close(handle)
        return False

    def free(self) -> None:
        """Gives the lock back, and removes a folder with nothing else in it."""
        if self._handle >= 0:
            with suppress(OSError):
                if os.listdir(self.folder) == [NAME]:
                    shutil.rmtree(self.folder)
            # By name, because a child process may hold a copy of the handle for longer.
            fcntl.flock(self._handle, fcntl.LOCK_UN)
            os.close(self._handle)
            self._handle = -1


def held(folder: Path) -> bool | None:
    """Whether a living process holds the folder's lock; None where that cannot be known."""
    if fcntl is None:
        return None
    try:
        handle = os.open(folder / NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return True
    except OSError:
        return None
    finally:
        os.close(handle)
    return False


def clear(folder: Path) -> bool:
    """Removes a folder that no living process holds; whether it is gone."""
    if folder.is_symlink() or not folder.is_dir():
        return not os.path.lexists(folder)
    lease = Lease(folder)
    with suppress(OSError):  # a store may be for reading only
        if lease.take():
            shutil.rmtree(folder, ignore_errors=True)
    lease.free()
    return not folder.exists()
