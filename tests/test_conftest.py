"""The fixture that skips, or in CI refuses to."""

from collections.abc import Callable

import pytest

Require = Callable[[object, str], None]


def test_require_lets_a_test_with_everything_run(require: Require, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("0", "1"):
        monkeypatch.setenv("DISENTANGLE_REQUIRE_ALL", value)
        require(True, "there is a browser")


def test_require_skips_with_its_reason(require: Require, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISENTANGLE_REQUIRE_ALL", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no browser"):
        require(False, "no browser")


def test_require_fails_where_a_skip_is_forbidden(require: Require, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISENTANGLE_REQUIRE_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match="no browser"):
        require(False, "no browser")
