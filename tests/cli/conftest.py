"""Platforms for the tests of this folder; whatever still runs at the end is ended."""

import pytest

from support.up import Up


@pytest.fixture(scope="session")
def start_up():
    """Start a platform on a data directory."""
    started = []

    def start(data, *words, **settings):
        started.append(Up(data, *words, **settings))
        return started[-1]

    yield start
    for up in started:
        up.close()
