import socket

import pytest

from fathom.views.server.security import Access, is_address, new_token, own_names

LOOPBACK = Access(port=8317, names=frozenset({"127.0.0.1"}))
OPEN = Access(port=8317, names=frozenset({"gpu.example", "0.0.0.0"}) | own_names(), token="secret")
OWN = socket.gethostname().lower()
FIRST = OWN.partition(".")[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_a_loopback_takes_its_own_names_with_its_port(host: str) -> None:
    assert LOOPBACK.takes(host, 8317)
    assert not LOOPBACK.takes(host, 80)
    assert not LOOPBACK.takes(host, 8318)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "0.0.0.0"],
)
def test_a_loopback_takes_no_other_name(host: str) -> None:
    assert not LOOPBACK.takes(host, 8317)


def test_with_a_token_addresses_and_own_names_are_taken_with_any_port() -> None:
    for host in ("gpu.example", "10.0.0.1", "fd00::1", "localhost", OWN, FIRST, f"{FIRST}.local"):
        assert OPEN.takes(host, 8317)
        assert OPEN.takes(host, 9000)
    assert OPEN.takes(socket.getfqdn().lower(), 8317)
    for host in ("evil.example", f"{OWN}evil.example", f"{FIRST}.evil.example", f"{OWN}.example"):
        assert not OPEN.takes(host, 8317)


def test_only_the_token_is_the_token() -> None:
    assert OPEN.knows("secret")
    for wrong in ("", "secre", "secret ", "Secret", "sécret"):
        assert not OPEN.knows(wrong)
    assert not LOOPBACK.knows("")


def test_tokens_are_long_and_never_the_same() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 43


def test_addresses_are_told_from_names() -> None:
    assert is_address("127.0.0.1")
    assert is_address("::1")
    assert not is_address("localhost")
    assert not is_address("127.1")
