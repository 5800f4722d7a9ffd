"""Which addresses are public, and what node.yaml adds to them."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xyn_reconciler.action.egress import is_global, line_to_add, permitted
from xyn_reconciler.model.errors import PermanentError

PRIVATE = [
    "0.0.0.0",  # noqa: S104 - asked about, not bound
    "0.1.2.3",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "2600::5efe:7f00:1",
    "2600::200:5efe:a00:1",
]

PUBLIC = [
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.1",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.1",
    "198.17.255.255",
    "223.255.255.255",
    "2606:4700::1111",
    "2001:200::1",
    "2002:101:101::1",
    "64:ff9b::101:101",
    "::ffff:1.1.1.1",
    "2600::5efe:101:101",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_off_the_public_network_is_not_global(address: str) -> None:
    assert not is_global(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_public_network_is_global(address: str) -> None:
    assert is_global(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("rule", "host", "address", "port", "allowed"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1", 80, True),
        ("127.0.0.1", "127.0.0.1", "::ffff:127.0.0.1", 80, True),
        ("127.0.0.1:9093", "127.0.0.1", "127.0.0.1", 9093, True),
        ("127.0.0.1:9093", "127.0.0.1", "127.0.0.1", 9094, False),
        ("10.20.0.0/16", "db", "10.20.3.4", 5432, True),
        ("10.20.0.0/16", "db", "10.21.3.4", 5432, False),
        ("10.20.0.0/16:443", "db", "10.20.3.4", 444, False),
        ("::1", "localhost", "::1", 80, True),
        ("[::1]:9093", "localhost", "::1", 9093, True),
        ("[::1]:9093", "localhost", "::1", 80, False),
        ("db.corp", "db.corp", "10.0.0.1", 80, True),
        ("DB.corp", "db.corp.", "10.0.0.1", 80, True),
        ("db.corp", "evil-db.corp", "10.0.0.1", 80, False),
        ("*.corp:443", "db.corp", "10.0.0.1", 443, True),
        ("*.corp", "a.db.corp", "10.0.0.1", 443, True),
        ("*.corp", "corp", "10.0.0.1", 443, False),
        ("*.corp", "notcorp", "10.0.0.1", 443, False),
    ],
)
def test_a_rule_allows_an_address_a_network_or_a_name_perhaps_at_one_port(
    rule: str, host: str, address: str, port: int, *, allowed: bool
) -> None:
    found = ipaddress.ip_address(address)

    if allowed:
        assert permitted(host, port, [found], [rule]) == [found]
    else:
        with pytest.raises(PermanentError):
            permitted(host, port, [found], [rule])


def test_only_the_allowed_ones_of_a_names_addresses_are_connected_to() -> None:
    public, private = ipaddress.ip_address("1.1.1.1"), ipaddress.ip_address("10.0.0.1")

    assert permitted("rebind.example", 80, [private, public], []) == [public]


def test_a_refusal_prints_the_very_line_to_add() -> None:
    with pytest.raises(PermanentError) as caught:
        permitted("::1", 9093, [ipaddress.ip_address("::1")], ["10.0.0.0/8"])

    line = 'egress: {allow: ["10.0.0.0/8", "[::1]:9093"]}'
    assert caught.value.failure_code == "egress_denied"
    assert caught.value.message.endswith(line)
    assert permitted("::1", 9093, [ipaddress.ip_address("::1")], ["[::1]:9093"])
    assert line_to_add([], "web1", 80) == 'egress: {allow: ["web1:80"]}'


private_4 = st.sampled_from([each for each in PRIVATE if "." in each and ":" not in each]).map(
    ipaddress.IPv4Address
)


@given(private_4, st.integers(0, 2**64 - 1))
def test_no_dress_makes_a_private_address_public(address: ipaddress.IPv4Address, rest: int) -> None:
    inner = int(address)
    dressed = [
        inner,  # IPv4-compatible
        0xFFFF << 32 | inner,  # mapped
        0xFFFF << 48 | inner,  # translated (RFC 2765)
        0x0064FF9B << 96 | inner,  # NAT64
        0x0064FF9B0001 << 80 | inner,  # NAT64, for local use
        0x2002 << 112 | inner << 80 | rest,  # 6to4
        0x2001 << 112 | inner << 64 | rest,  # Teredo, its server
        0x26004700 << 96 | 0x5EFE << 32 | inner,  # ISATAP
    ]

    assert not [each for each in map(ipaddress.IPv6Address, dressed) if is_global(each)]
