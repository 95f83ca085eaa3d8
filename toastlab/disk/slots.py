"""At most so many trainings at a time, over all processes that use a store."""

from pathlib import Path

from toastlab.disk.lease import Lease


class Slots:
    """Places for trainings in a store, each a lock that its holder's death frees.

    Without locks (see `toastlab.disk.lease`) there is always a place.

    Args:
        root: the store. count: how many places; 0: no limit.
    """

    def __init__(self, root: Path | str, count: int) -> None:
        self.count = count
        self._leases = [Lease(Path(root) / f".slot-{i}") for i in range(count)]
        self._mine: Lease | None = None

    def take(self) -> bool:
        """Takes a place if one is free; whether there is one.

        Raises:
            OSError: the store cannot be written.
        """
        if not self.count:
            return True
        self._mine = next((lease for lease in self._leases if lease.take()), None)
        return self._mine is not None

    def free(self) -> None:
        """Gives the place back, if there is one."""
        if self._mine is not None:
            self._mine.free()
            self._mine = None
