"""One run, one writer, and only so many trainings at a time: locks over processes, by filelock.

The system frees a lock when its holder dies, however it dies. A file system without such locks (and
Windows, where a locked file cannot be removed) is named in the log and worked on without: two
processes may then train the same run at a time. That wastes time and loses nothing: equal runs are
equal, each writes aside under a name of its own, a rename puts it in place.
"""

import errno
import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout, has_fcntl

log = logging.getLogger(__name__)
NAME = "lock"
HAVE_LOCKS = has_fcntl
UNSUPPORTED = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)


class Lease:
    """The right to write in a folder. Not for several threads at a time, like most objects.

    Attributes:
        sole: whether it is held, so that no other process writes there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # filelock opens no link, which could lead out of the store, and a lock on a file that was
        # removed in the meantime does not count. Its soft locks would outlive their holder.
        self._lock = FileLock(
            folder / NAME, blocking=False, thread_local=False, fallback_to_soft=False
        )

    @property
    def sole(self) -> bool:
        return self._lock.is_locked

    def take(self) -> bool:
        """Makes the folder and takes its lock if it is free; True where there are no locks.

        Raises:
            OSError: the folder cannot be written, or a link lies where the lock should.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:  # a file or a link; or its holder has removed it meanwhile
            if os.path.lexists(self.folder) or not self.folder.parent.is_dir():
                raise
            return False
        try:
            if HAVE_LOCKS:
                self._lock.acquire()
                self._file = (self.folder / NAME).lstat()
        except (Timeout, FileNotFoundError):  # the latter: its holder is removing the folder
            self._lock.release(force=True)
            return False
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            log.warning("no locks in %s (%s): do not train one run twice", self.folder, error)
        return True

    def free(self) -> None:
        """Gives the lock back, and removes a folder with nothing else in it."""
        if self.sole:
            with suppress(OSError):
                # who has removed the folder himself may find that of its next holder here
                mine = os.path.samestat((self.folder / NAME).lstat(), self._file)
                if mine and os.listdir(self.folder) == [NAME]:
                    shutil.rmtree(self.folder)
            self._lock.release(force=True)


def held(folder: Path) -> bool | None:
    """Whether a living process holds the folder's lock; None where that cannot be known."""
    if not (HAVE_LOCKS and (folder / NAME).exists()):
        return None
    try:
        with FileLock(folder / NAME, blocking=False, fallback_to_soft=False):
            return False
    except Timeout:
        return True
    except OSError:  # a store for reading only, a file system without locks
        return None


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


class Slots:
    """At most so many trainings at a time over all processes that use a store: a lock for each.

    Without locks there is always a free slot.

    Args:
        root: the store. count: how many slots; 0: no limit.
    """

    def __init__(self, root: Path | str, count: int) -> None:
        self.count = count
        self._leases = [Lease(Path(root) / f".slot-{i}") for i in range(count)]
        self._mine: Lease | None = None

    def take(self) -> bool:
        """Takes a free slot; whether there is one.

        Raises:
            OSError: the store cannot be written.
        """
        self._mine = next((lease for lease in self._leases if lease.take()), None)
        return self._mine is not None or not self.count

    def free(self) -> None:
        """Gives the slot back, if one was taken."""
        if self._mine is not None:
            self._mine.free()
            self._mine = None
