"""For all tests: what toastlab remembers of files goes to a folder that is thrown away."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def nothing_is_left_at_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOASTLAB_CACHE", str(tmp_path_factory.mktemp("sums")))
        yield
