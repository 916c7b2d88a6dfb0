"""Sessions, from the log-in to their end, in store and gateways."""

import asyncio

import pytest

from tests.control.house import TOKEN, TOKEN_HASH, House, until
from tidegate import http
from tidegate.control.access.sessions import NewSession
from tidegate.core.access.access_table import AccessTable, Grant
from tidegate.core.access.principal import Principal
from tidegate.core.access.session import LIFETIME_SECONDS, begun
from tidegate.core.errors import TooManyRequests, Unauthenticated, Unavailable

HOUR = 3600.0


def known(house: House) -> AccessTable:
    """What the gateway knows."""
    return house.gateway.accesses[-1]


def digest_of(session: NewSession) -> str:
    return http.token_hash(session.secret)


async def test_a_log_in_is_durable_and_known_to_the_gateways_before_it_returns(house: House) -> None:
    await until(lambda: house.gateway.accesses)
    assert known(house).tokens == {TOKEN_HASH: "admin"}
    assert known(house).sessions == {}
    session = await house.sessions.log_in(f" {TOKEN}\n", "10.0.0.1")
    digest = digest_of(session)
    assert len(session.secret) == 43
    assert session.expires_at == house.clock.now() + LIFETIME_SECONDS
    assert known(house).sessions == {digest: Grant("admin", session.expires_at)}
    (stored,) = await house.store.sessions()
    assert stored == begun(digest, "admin", TOKEN_HASH, house.clock.now())
    assert house.sessions.principal(digest) == Principal("admin", digest)
    assert session.secret not in str((stored, known(house)))
    assert (await house.sessions.log_in(TOKEN)).secret != session.secret


async def test_a_log_in_does_not_wait_for_ever_for_a_gateway(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.control.access.sessions._PATIENCE_SECONDS", 0.05)
    await until(lambda: house.gateway.accesses)
    house.gateway.stubborn = True
    session = await asyncio.wait_for(house.sessions.log_in(TOKEN), 5)
    assert house.sessions.principal(digest_of(session)) is not None


async def test_a_wrong_token_is_refused_and_after_ten_the_address_waits(house: House) -> None:
    for _ in range(10):
        with pytest.raises(Unauthenticated, match=r"admin\.token"):
            await house.sessions.log_in("wrong", "10.0.0.1")
    with pytest.raises(TooManyRequests) as caught:
        await house.sessions.log_in(TOKEN, "10.0.0.1")
    assert caught.value.retry_after == 60.0
    await house.sessions.log_in(TOKEN, "10.0.0.2")
    house.clock.advance(60.0)
    await house.sessions.log_in(TOKEN, "10.0.0.1")


async def test_a_log_out_is_known_to_the_gateways_when_it_returns(house: House) -> None:
    session, other = await house.sessions.log_in(TOKEN), await house.sessions.log_in(TOKEN)
    for _ in range(2):
        await house.sessions.log_out(digest_of(session))
    assert set(known(house).sessions) == {digest_of(other)}
    assert house.sessions.principal(digest_of(session)) is None
    assert [one.hash for one in await house.store.sessions()] == [digest_of(other)]


async def test_sessions_outlive_control(house: House) -> None:
    session = await house.sessions.log_in(TOKEN)
    await house.restart_control()
    await until(lambda: house.gateway.accesses)
    assert set(known(house).sessions) == {digest_of(session)}
    assert house.sessions.principal(digest_of(session)) == Principal("admin", digest_of(session))


async def test_all_end_with_their_token(house: House) -> None:
    session = await house.sessions.log_in(TOKEN)
    await house.store.save_session(begun("x" * 64, "admin", "another token", house.clock.now()))
    await house.sessions.sweep()
    assert [one.hash for one in await house.store.sessions()] == [digest_of(session)]
    assert set(house.gateways.access.sessions if house.gateways.access else ()) == {digest_of(session)}


async def test_what_has_ended_is_swept(house: House) -> None:
    session = await house.sessions.log_in(TOKEN)
    house.clock.advance(HOUR)
    other = await house.sessions.log_in(TOKEN)
    house.clock.advance(LIFETIME_SECONDS - HOUR)
    assert house.sessions.principal(digest_of(session)) is None  # before any sweep
    assert await house.sessions.sweep() == 600.0
    assert [one.hash for one in await house.store.sessions()] == [digest_of(other)]
    await until(lambda: set(known(house).sessions) == {digest_of(other)})


async def test_a_use_prolongs_a_session_once_an_hour(house: House) -> None:
    session = await house.sessions.log_in(TOKEN)
    digest, began = digest_of(session), house.clock.now()
    versions = len(house.gateway.accesses)
    await house.sessions.used(digest)
    house.clock.advance(HOUR + 1)
    for _ in range(3):
        await house.sessions.used(digest)
    await until(lambda: known(house).sessions[digest].expires_at == began + HOUR + 1 + LIFETIME_SECONDS)
    assert len(house.gateway.accesses) == versions + 1
    (stored,) = await house.store.sessions()
    assert stored.expires_at == began + HOUR + 1 + LIFETIME_SECONDS
    await house.sessions.used("missing")


async def test_a_store_that_is_away_ends_no_session_and_begins_none(house: House) -> None:
    session = await house.sessions.log_in(TOKEN)
    house.clock.advance(2 * HOUR)
    house.store.failure = Unavailable("The database cannot be used now.")
    await house.sessions.used(digest_of(session))
    with pytest.raises(Unavailable):
        await house.sessions.log_in(TOKEN)
    with pytest.raises(Unavailable):
        await house.sessions.sweep()
    assert house.sessions.principal(digest_of(session)) is not None
    assert set(known(house).sessions) == {digest_of(session)}


async def test_beyond_a_number_of_sessions_the_oldest_ends(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.control.access.sessions._MOST", 2)
    digests = []
    for _ in range(3):
        digests.append(digest_of(await house.sessions.log_in(TOKEN)))
        house.clock.advance(1.0)
    assert [one.hash for one in await house.store.sessions()] == digests[1:]
    assert set(known(house).sessions) == set(digests[1:])


async def test_log_ins_at_the_same_time_all_count(house: House) -> None:
    sessions = await asyncio.gather(*(house.sessions.log_in(TOKEN) for _ in range(8)), house.sessions.sweep())
    digests = {digest_of(session) for session in sessions if isinstance(session, NewSession)}
    assert len(digests) == 8
    await until(lambda: set(known(house).sessions) == digests)
