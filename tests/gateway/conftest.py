import pytest

from support.gateway_rooms import Rooms


@pytest.fixture
def rooms(tmp_path):
    rooms = Rooms(tmp_path)
    yield rooms
    rooms.close()
