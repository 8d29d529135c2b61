import pytest
from hypothesis import given
from hypothesis import strategies as st

from genescale.errors import InvalidInput
from genescale.security.limits import AtOnce, Bucket, RateLimit, take
from genescale.security.origin import Origins, normal_origin

ALLOWED = Origins(["https://genescale.example.org", "http://127.0.0.1:8080", "http://[::1]:8080"])


@pytest.mark.parametrize(
    "origin",
    [
        "https://genescale.example.org",
        "https://genescale.example.org:443",
        "HTTPS://GeneScale.example.ORG",
        "http://127.0.0.1:8080",
        "http://[::1]:8080",
    ],
)
def test_pages_of_the_allow_list_may_connect(origin: str):
    assert ALLOWED.allows(origin, bearer=False)


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "*",
        "https://genescale.example.org.evil.org",
        "https://evil.org/https://genescale.example.org",
        "https://evil-genescale.example.org",
        "https://sub.genescale.example.org",
        "http://genescale.example.org",
        "https://genescale.example.org:8443",
        "https://genescale.example.org:",
        "https://genescale.example.org/",
        "https://genescale.example.org/path",
        "https://genescale.example.org?x",
        "https://genescale.example.org#x",
        "https://user@genescale.example.org",
        "https://genescale.example.org, https://evil.org",
        "https://genescale.example.org https://evil.org",
        "https://genescale.example.org\x00",
        "https://genescale.example.org\n",
        " https://genescale.example.org",
        "https:genescale.example.org",
        "//genescale.example.org",
        "genescale.example.org",
        "file://",
        "chrome-extension://abcdef",
        "http://127.0.0.1",
        "http://localhost:8080",
        "http://[::1",
        "https://genescale.example.org:99999",
        "https://genescale.example.org:0x1bb",
        "https://genescal\u0435.example.org",
        "https://genescale.example.org" + "x" * 300,
    ],
)
def test_every_other_page_may_not(origin: str):
    assert not ALLOWED.allows(origin, bearer=False)
    assert not ALLOWED.allows(origin, bearer=True)  # a token does not make a foreign page ours


def test_programs_send_no_origin_and_need_a_bearer_header():
    assert ALLOWED.allows(None, bearer=True)
    assert not ALLOWED.allows(None, bearer=False)


@pytest.mark.parametrize("entry", ["*", "genescale.example.org", "https://*.example.org", "https://a.example/x"])
def test_an_allow_list_of_anything_else_is_refused(entry: str):
    with pytest.raises(InvalidInput, match="is no origin"):
        Origins([entry])


@given(st.text(max_size=60))
def test_no_text_breaks_the_reading_of_an_origin(text: str):
    normal = normal_origin(text)
    assert normal is None or normal_origin(normal) == normal


# Limits


def test_fifty_messages_a_second_and_a_hundred_at_once():
    limit = RateLimit()
    assert sum(limit.wait_s("ada", 0.0) == 0.0 for _ in range(200)) == 100
    assert limit.wait_s("ada", 0.0) == pytest.approx(0.02)
    assert sum(limit.wait_s("ada", 1.0) == 0.0 for _ in range(200)) == 50
    assert limit.wait_s("bob", 1.0) == 0.0  # nobody pays for another


def test_what_costs_more_than_a_bucket_holds_never_happens():
    limit = RateLimit(rate_per_s=1, burst=10)
    assert limit.wait_s("ada", 0.0, cost=11) == float("inf")
    assert limit.wait_s("ada", 0.0, cost=10) == 0.0


def test_a_clock_that_goes_back_gives_nothing():
    limit = RateLimit(rate_per_s=1, burst=1)
    assert limit.wait_s("ada", 100.0) == 0.0
    assert limit.wait_s("ada", 0.0) > 0
    assert limit.wait_s("ada", 100.5) == pytest.approx(0.5)


def test_principals_that_are_held_are_bounded():
    limit = RateLimit(principals_max=100)
    for number in range(1_000):
        limit.wait_s(f"p{number}", 0.0)
    assert len(limit._buckets) == 100


@given(
    st.lists(st.tuples(st.floats(0, 3), st.floats(0.1, 5)), max_size=60),
    st.floats(0.5, 50),
    st.floats(1, 20),
)
def test_nobody_gets_more_than_burst_and_rate(steps: list[tuple[float, float]], rate: float, burst: float):
    bucket, now_s, got = Bucket(burst, 0.0), 0.0, 0.0
    for pause, cost in steps:
        now_s += pause
        bucket, wait_s = take(bucket, now_s, rate_per_s=rate, burst=burst, cost=cost)
        if wait_s == 0.0:
            got += cost
        elif wait_s != float("inf"):
            again = take(bucket, now_s + wait_s + 1e-6, rate_per_s=rate, burst=burst, cost=cost)
            assert again.wait_s == 0.0  # the promise is kept
    assert got <= burst + rate * now_s + 1e-6


def test_twenty_connections_each():
    at_once = AtOnce()
    assert sum(at_once.enter("ada") for _ in range(30)) == 20
    assert at_once.enter("bob")
    at_once.leave("ada")
    assert at_once.enter("ada")
    assert not at_once.enter("ada")
    for _ in range(50):
        at_once.leave("ada")
    assert at_once.open_by("ada") == 0
