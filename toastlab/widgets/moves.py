"""What a page has sent and its kernel has not taken yet: one message at a time goes on, and later
moves of a control take the place of earlier ones that still wait.

A kernel draws at every move, in a tenth of a second. Twenty thousand moves, sent in one second,
would keep it drawing for half an hour after their sender has left; here they become one or two.
"""

import json
import time
from dataclasses import dataclass
from typing import Any

from toastlab.core.errors import BadValue

MOST = 500  # messages of a page that may wait; a browser has a handful
PATIENCE = 30.0  # seconds after which an answer is no longer waited for: it may have been lost


@dataclass
class Message:
    """A message as the kernel takes it.

    Attributes:
        channel: where it goes.
        parts: header, parent, metadata and content as JSON, then buffers.
        name: by which its answer tells what it answers.
        control: the widget that it moves; empty: it is no move.
        state: what it sets there.
    """

    channel: str
    parts: list[bytes]
    name: str
    control: str
    state: dict[str, Any]


class Moves:
    """The messages of a page that wait, in order. A move merges into one of the same control if
    nothing but moves waits behind that one: a click must find the controls as they were then.

    Args:
        most: messages that may wait.
    """

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self.waiting: list[Message] = []
        self._sent, self._since = "", 0.0

    def add(self, channel: str, parts: list[bytes]) -> bool:
        """Takes a message; False if it is one too many, and was not taken.

        Raises:
            ValueError: it is no message.
        """
        message = _read(channel, parts)
        if not self._merged(message):
            if len(self.waiting) >= self.most:
                return False
            self.waiting.append(message)
        return True

    def _merged(self, message: Message) -> bool:
        for earlier in reversed(self.waiting if message.control else []):
            if not earlier.control:
                return False
            if earlier.control == message.control:
                earlier.state |= message.state
                data = {"method": "update", "state": earlier.state, "buffer_paths": []}
                content = json.dumps({"comm_id": message.control, "data": data}).encode()
                # the newest name: it is the one whose answer the page waits for
                earlier.name, earlier.parts = message.name, [*message.parts[:3], content]
                return True
        return False

    def next(self) -> Message | None:
        """The message that goes to the kernel now; None while it has one in hand, or none waits."""
        busy = self._sent and time.monotonic() - self._since < PATIENCE
        if busy or not self.waiting:
            return None
        message = self.waiting.pop(0)
        self._sent, self._since = message.name, time.monotonic()
        return message

    def answered(self, name: str) -> None:
        """The kernel is done with the message `name`."""
        if name == self._sent:
            self._sent = ""

    def clear(self) -> None:
        """Forgets all that waits: the page is gone."""
        self.waiting.clear()


def _read(channel: str, parts: list[bytes]) -> Message:
    """The message, and whether it is a move."""
    try:
        header, content = json.loads(parts[0]), json.loads(parts[3])
        name = str(header["msg_id"])
        if header["msg_type"] == "comm_msg" and len(parts) == 4:
            data = content["data"]
            state = data.get("state")
            if data.get("method") == "update" and isinstance(state, dict):
                return Message(channel, parts, name, str(content["comm_id"]), state)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BadValue(f"this is no message to a kernel: {error!r}.") from error
    return Message(channel, parts, name, "", {})
