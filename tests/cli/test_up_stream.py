"""One analysis through the platform as `genescale up` starts it, and a resume over a killed gateway."""

import json
import os
import re
import signal
import urllib.request

import pytest
from websockets.sync.client import connect

from support.up import wait_for


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def signed_in(up):
    line = up.process.stdout.readline()
    link = re.search(r"http://\S+/login\?token=\S+", line)[0]
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.build_opener(NoRedirect).open(link, timeout=10)
    with caught.value as reply:
        assert (reply.code, reply.headers["location"]) == (303, "/")
        return reply.headers["set-cookie"].partition(";")[0], link


def open_stream(up, cookie):
    asked = urllib.request.Request(
        up.url + "/api/v1/ws-ticket", method="POST", headers={"Cookie": cookie, "Origin": up.url}
    )
    with urllib.request.urlopen(asked, timeout=10) as reply:
        ticket = json.loads(reply.read())["ticket"]
    return connect(
        up.url.replace("http", "ws", 1) + "/api/v1/stream",
        origin=up.url,
        additional_headers={"Cookie": cookie},
        subprotocols=["genescale.v1", "ticket." + ticket],
        compression=None,
        proxy=None,
    )


def following(stream, *types):
    while True:
        frame = json.loads(stream.recv(30))
        if frame["type"] in types:
            return frame


@pytest.mark.slow
def test_an_analysis_and_a_resume_over_a_killed_gateway(start_up, tmp_path):
    up = start_up(tmp_path / "data").wait_until_it_answers()
    cookie, link = signed_in(up)
    for name in ("worker", "worker-urgent"):
        up.running(name)
    with open_stream(up, cookie) as stream:
        stream.send('{"type":"hello","v":1}')
        welcome = following(stream, "welcome")
        stream.send('{"type":"submit","cid":"one","data":{"variants":["m.3243A>G"]}}')
        assert following(stream, "accepted", "rejected")["type"] == "accepted"
        first = following(stream, "result", "error")
        assert first["data"]["annotations"][0]["consequences"][0]["gene"] == "MT-TL1"
        stream.send('{"type":"submit","cid":"two","priority":9,"data":{"variants":["m.8993T>G"]}}')
        assert following(stream, "accepted", "rejected")["type"] == "accepted"
        before = up.running("gateway")
        os.kill(before["pid"], signal.SIGKILL)
    wait_for(lambda: up.role("gateway")["pid"] != before["pid"])
    with open_stream(up, cookie) as stream:
        resume = {
            "session": welcome["session"],
            "epoch": welcome["epoch"],
            "last_seq": 1,
            "token": welcome["resume_token"],
        }
        stream.send(json.dumps({"type": "hello", "v": 1, "resume": resume}))
        assert following(stream, "welcome")["resumed"] is True
        missed = following(stream, "result", "error")
        assert (missed["type"], missed["seq"], missed["cid"]) == ("result", 2, "two")
    assert up.stop(signal.SIGTERM) == 0
    said = "\n".join(up.lines)
    for secret in ("3243", "8993", link.partition("=")[2], cookie.partition("=")[2]):
        assert secret not in said
    files = [path for path in up.data.rglob("*") if path.is_file()]
    assert files
    for path in files:  # sealed from the gateway to the worker and back
        content = path.read_bytes()
        assert b"3243A" not in content, path
        assert b"8993T" not in content, path
