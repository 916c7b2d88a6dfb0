"""Logs that grow, are cut and have hostile bytes."""

import os
import random
from pathlib import Path

import pytest

from tidegate.control.endpoints.log_follower import MAX_NEWS_BYTES, LogEnd, LogFollower, LogNews, log_end


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "a.log"


def add(log: Path, data: bytes) -> None:
    with log.open("ab") as file:
        file.write(data)


def test_the_end_of_a_log_is_whole_lines_and_the_beginning_of_one(log: Path) -> None:
    assert log_end(log, 100) == LogEnd()
    add(log, b"one\ntwo\nthr")
    assert log_end(log, 100) == LogEnd("one\ntwo\nthr", 8)
    assert log_end(log, 9) == LogEnd("two\nthr", 8, is_all=False)
    assert log_end(log, 2) == LogEnd("hr", 9, is_all=False)


def test_only_whole_lines_are_news(log: Path) -> None:
    follower = LogFollower(log, 0)
    assert follower.look() == LogNews()
    add(log, "one\ntwö".encode()[:-1])
    assert follower.look().text == "one\n"
    add(log, "ö".encode()[1:] + b"\n\xff\x00\n")
    assert follower.look().text == "twö\n\ufffd\0\n"
    assert follower.look() == LogNews()


def test_a_follower_of_the_end_begins_there(log: Path) -> None:
    add(log, b"old\n")
    follower = LogFollower(log)
    assert follower.look() == LogNews()
    add(log, b"new\n")
    assert follower.look().text == "new\n"


@pytest.mark.parametrize("after", [b"a\n", b"another line that is longer than before\n" * 9, b""])
def test_a_log_that_was_cut_begins_anew_however_long_it_is_by_then(log: Path, after: bytes) -> None:
    add(log, b"a line before\n" * 3)
    follower = LogFollower(log, 0)
    follower.look()
    os.truncate(log, 0)
    add(log, after)
    assert follower.look() == LogNews(after.decode(), began_anew=True)


def test_a_log_that_is_gone_is_followed_when_it_is_back(log: Path) -> None:
    add(log, b"a\n")
    follower = LogFollower(log, 0)
    follower.look()
    log.unlink()
    assert follower.look() == LogNews()
    add(log, b"b\n")
    assert follower.look().text == "b\n"


def test_what_grows_too_fast_is_skipped_from_a_line_on(log: Path) -> None:
    follower = LogFollower(log, 0)
    add(log, b"x" * 99 + b"\n" + b"y" * 99 + b"\n" * MAX_NEWS_BYTES)
    news = follower.look()
    assert (news.skipped, len(news.text) <= MAX_NEWS_BYTES, follower.look()) == (True, True, LogNews())


def test_a_line_without_an_end_is_handed_over_in_pieces(log: Path) -> None:
    follower = LogFollower(log, 0)
    add(log, b"z" * 100)
    assert not follower.look().text
    add(log, b"z" * 3 * MAX_NEWS_BYTES)
    assert 0 < len(follower.look().text) <= MAX_NEWS_BYTES
    assert follower.look() == LogNews()


def test_nothing_is_lost_or_told_twice_however_it_is_written(log: Path) -> None:
    random_ = random.Random(3)
    whole = "".join(f"{number} {'é' * random_.randrange(40)}\n" for number in range(300)).encode()
    follower, told, at = LogFollower(log, 0), "", 0
    while at < len(whole):
        piece = random_.randrange(1, 90)
        add(log, whole[at : at + piece])
        at += piece
        told += follower.look().text
    assert told == whole.decode()
