from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.serving import ServedDevice
from lightning_primo.serving.tokens import VARIABLE, authorization, check_token, find_token, new_token, same_token

GIVEN, OF_ENVIRONMENT, OF_PORT, OF_HOST = (f"the-token-{n}" for n in range(4))


def test_the_token_that_is_given_comes_first_then_the_environment_then_netrc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(
        f"machine pi:1 login lightning-primo password {OF_PORT}\nmachine pi login lightning-primo password {OF_HOST}\n"
    )
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv(VARIABLE, OF_ENVIRONMENT)
    assert find_token("pi", 1, GIVEN) == GIVEN
    assert find_token("pi", 1) == OF_ENVIRONMENT
    monkeypatch.delenv(VARIABLE)
    assert find_token("pi", 1) == OF_PORT
    assert find_token("pi", 2) == OF_HOST
    assert find_token("nano", 2) is None
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    assert find_token("pi", 1) is None


def test_a_netrc_that_cannot_be_read_is_named_and_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine pi secret {OF_HOST}\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with pytest.raises(InvalidArgumentError, match="line 1") as caught:
        find_token("pi", 1)
    assert OF_HOST not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("token", ["", "short", "with a space", "tab\ttab\ttab", "ünïcödé-token", "x" * 513, 12345678])
def test_what_can_be_no_token_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(InvalidArgumentError, match="8 to 512") as caught:
        check_token(token)
    assert not token or repr(token) not in str(caught.value)


def test_only_the_token_itself_is_the_same() -> None:
    token = new_token()
    assert check_token(token) == token != new_token()
    assert same_token(authorization(token), token)
    for header in (None, "", token, f"bearer {token}", authorization(token + "x"), authorization(token[:-1]), "\udcff"):
        assert not same_token(header, token)


def test_a_device_shows_its_token_to_nobody_and_takes_it_to_its_workers() -> None:
    device = ServedDevice("http://pi:8765", GIVEN)
    assert GIVEN not in repr(device)
    assert GIVEN not in str(device)
    assert pickle.loads(pickle.dumps(device)).token == GIVEN
    assert device == ServedDevice("http://pi:8765")


@pytest.mark.parametrize(
    "address",
    [
        "pi:8765",
        "ftp://pi",
        "http://",
        "http://pi:99999",
        "http://pi/?x=1",
        "http://pi/\x1b[2J",
        "ssh://",
        "ssh://-oProxyCommand=touch%20x",
        "ssh://user@-v",
        "ssh://pi/path",
        "ssh://user:password@pi",
        7,
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidArgumentError, match="'on'"):
        ServedDevice(address)


def test_a_token_in_the_address_is_refused_and_not_shown() -> None:
    for address in (f"http://:{GIVEN}@pi:1", f"http://{GIVEN}@pi:1"):
        with pytest.raises(InvalidArgumentError, match="must not hold the token") as caught:
            ServedDevice(address)
        assert GIVEN not in str(caught.value)
