"""What waits between a page and its kernel: order kept, moves merged, an end to it."""

import json
from typing import Any

import pytest

from toastlab.widgets import moves
from toastlab.widgets.moves import Message, Moves


def parts(name: str, kind: str = "comm_msg", **content: Any) -> list[bytes]:
    header = {"msg_id": name, "msg_type": kind}
    return [json.dumps(part).encode() for part in (header, {}, {}, content)]


def move(name: str, control: str, **state: Any) -> list[bytes]:
    data = {"method": "update", "state": state, "buffer_paths": []}
    return parts(name, comm_id=control, data=data)


def click(name: str) -> list[bytes]:
    return parts(name, comm_id="b", data={"method": "custom", "content": {"event": "click"}})


def state(message: Message | None) -> Any:
    assert message is not None
    return json.loads(message.parts[3])["data"]["state"]


def test_the_first_goes_at_once_and_the_rest_become_one() -> None:
    waits = Moves()
    for i in range(20_000):
        assert waits.add("shell", move(f"m{i}", "slider", index=i))
        if i == 0:
            assert state(waits.next()) == {"index": 0}
    assert waits.next() is None, "one at a time"
    waits.answered("another")
    assert waits.next() is None
    waits.answered("m0")
    last = waits.next()
    assert state(last) == {"index": 19_999}
    assert last is not None
    assert last.name == json.loads(last.parts[0])["msg_id"] == "m19999"
    waits.answered("m19999")
    assert waits.next() is None


def test_controls_and_parts_of_a_state_do_not_get_lost() -> None:
    waits = Moves()
    for i, (control, named) in enumerate([("x", "a"), ("y", "a"), ("x", "b"), ("y", "a")]):
        waits.add("shell", move(str(i), control, **{named: i}))
    sent = []
    while message := waits.next():
        sent.append((message.control, state(message)))
        waits.answered(message.name)
    assert sent == [("x", {"a": 0, "b": 2}), ("y", {"a": 3})]


def test_a_click_finds_the_controls_as_they_were() -> None:
    waits = Moves()
    waits.add("shell", move("0", "x", index=0))
    waits.add("shell", move("1", "x", index=1))
    waits.add("shell", click("2"))
    waits.add("shell", move("3", "x", index=3))
    waits.add("shell", move("4", "x", index=4))
    names = []
    while message := waits.next():
        names.append(message.name)
        waits.answered(message.name)
    assert names == ["1", "2", "4"]


def test_there_is_an_end_to_what_waits() -> None:
    waits = Moves(most=3)
    assert [waits.add("shell", click(str(i))) for i in range(5)] == [True] * 3 + [False] * 2
    waits.clear()
    assert waits.next() is None


def test_a_lost_answer_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("toastlab.widgets.moves.time.monotonic", lambda: now[0])
    waits = Moves()
    waits.add("shell", click("0"))
    waits.add("shell", click("1"))
    assert waits.next() is not None
    assert waits.next() is None
    now[0] += moves.PATIENCE + 1
    second = waits.next()
    assert second is not None
    assert second.name == "1"


def test_pictures_are_not_merged() -> None:
    waits = Moves()
    for name in "01":
        waits.add("shell", [*move(name, "x", value=None), b"picture"])
    assert len(waits.waiting) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        [b"{}"] * 4,
        [b"[]"] * 4,
        [b"null"] * 4,
        [b"\xff"] * 4,
        [b"[" * 100_000] * 4,
        parts("0", data=[], comm_id="x"),
        parts("0", data={"method": "update", "state": {}}),
        parts("0"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_message_is_refused(wrong: list[bytes]) -> None:
    waits = Moves()
    with pytest.raises(ValueError, match="no message"):
        waits.add("shell", wrong)
    assert waits.next() is None
