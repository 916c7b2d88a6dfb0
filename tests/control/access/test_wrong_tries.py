"""How many wrong tokens an address may send."""

from tidegate.control.access.wrong_tries import WrongTries


def test_ten_in_a_minute_and_no_more() -> None:
    tries = WrongTries()
    for second in range(10):
        assert tries.seconds_to_wait("10.0.0.1", float(second)) == 0
        tries.add("10.0.0.1", float(second))
    assert tries.seconds_to_wait("10.0.0.1", 10.0) == 50.0
    assert tries.seconds_to_wait("10.0.0.1", 60.0) == 0
    tries.add("10.0.0.1", 60.0)
    assert tries.seconds_to_wait("10.0.0.1", 60.0) == 1.0
    assert tries.seconds_to_wait("10.0.0.2", 10.0) == 0


def test_a_network_of_ipv6_is_one_address_and_a_mapped_one_is_ipv4() -> None:
    tries = WrongTries()
    for number in range(10):
        tries.add(f"2001:db8:0:1::{number}", 0.0)
        tries.add("::ffff:10.0.0.1" if number % 2 else "10.0.0.1", 0.0)
    assert tries.seconds_to_wait("2001:db8:0:1:ffff::1%eth0", 0.0) == 60.0
    assert tries.seconds_to_wait("2001:db8:0:2::1", 0.0) == 0
    assert tries.seconds_to_wait("10.0.0.1", 0.0) == 60.0
    assert tries.seconds_to_wait("", 0.0) == tries.seconds_to_wait("nonsense", 0.0) == 0


def test_what_is_remembered_has_a_bound() -> None:
    tries = WrongTries()
    for number in range(10_100):
        tries.add(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0.0)
    assert len(tries._tries) == 10_000
