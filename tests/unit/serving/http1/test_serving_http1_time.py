"""Nobody keeps a connection waiting for ever, and a connection ends without losing what it accepted."""

from serving_http1_app import CHUNKED, GET, Echo, post


def statuses(written: bytes) -> list[int]:
    return [int(part[:3]) for part in written.split(b"HTTP/1.1 ")[1:]]


def test_a_request_must_arrive_within_half_a_minute_of_its_first_byte() -> None:
    for first in (b"GET / HT", post(b"", "Content-Length: 5", length=False), post(b"1\r\n", CHUNKED, length=False)):
        app = Echo()
        app.send(first, now=10.0)
        for second in range(11, 40):
            assert app.engine.tick(float(second)) == 40.0
            app.engine.receive(b"", float(second))
        app.engine.tick(40.0)
        assert statuses(app.engine.take()) == [408]
        assert app.engine.closing
        assert app.engine.counts.slow == 1


def test_the_next_request_has_its_own_half_minute() -> None:
    app = Echo()
    app.send(GET + b"GET", now=10.0)
    app.send(GET[3:] + b"G", now=39.0)
    assert app.engine.tick(50.0) == 69.0


def test_an_idle_connection_is_closed_after_five_minutes_without_a_word() -> None:
    app = Echo()
    app.send(GET, now=10.0)
    assert app.engine.tick(20.0) == 320.0
    app.engine.tick(319.0)
    assert not app.engine.closing
    app.engine.tick(320.0)
    assert app.engine.closing
    assert app.engine.take() == b""


def test_a_request_in_hand_has_all_the_time_of_the_app() -> None:
    app = Echo(later=True)
    app.send(GET)
    app.engine.tick(10_000.0)
    assert not app.engine.closing


def test_an_answer_that_nobody_takes_ends_the_connection_after_half_a_minute() -> None:
    app = Echo()
    app.engine.receive(GET, 1.0)
    assert app.engine.tick(5.0) == 35.0
    app.engine.tick(35.0)
    assert app.engine.closing
    assert app.engine.counts.stalled == 1
    assert app.engine.take() == b""


def test_taking_bytes_is_progress() -> None:
    app = Echo()
    for second in range(0, 200, 20):
        app.engine.receive(GET, float(second))
        app.engine.tick(float(second))
        app.engine.take()
    assert not app.engine.closing


def test_an_idle_connection_ends_at_once_in_a_shutdown() -> None:
    app = Echo()
    app.engine.shutdown()
    assert app.engine.closing
    assert app.engine.finished


def test_the_request_in_hand_is_answered_and_says_that_it_was_the_last() -> None:
    app = Echo(later=True)
    app.send(GET + GET)
    app.engine.shutdown()
    assert not app.engine.finished
    app.answer()
    written = app.engine.take()
    assert b"Connection: close\r\n" in written
    assert written.count(b"HTTP/1.1") == 1
    assert app.engine.finished
    assert app.engine.closing


def test_a_request_that_is_arriving_is_still_answered() -> None:
    app = Echo()
    app.send(GET[:10])
    app.engine.shutdown()
    assert not app.engine.closing
    assert b"Connection: close\r\n" in app.send(GET[10:])
    assert app.engine.finished


def test_a_lost_connection_forgets_its_request() -> None:
    app = Echo(later=True)
    app.send(GET)
    app.engine.lost()
    app.engine.lost()
    assert app.lost == [1]
    app.answer()
    assert app.engine.take() == b""
