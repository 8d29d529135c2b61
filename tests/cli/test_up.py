"""`genescale up` for real: it answers, mends itself, refuses a second one, and ends without a trace."""

import json
import os
import signal
import subprocess
import sys

import pytest

from genescale.cluster import machine
from support.small_disk import make_read_only, small_disk
from support.up import DEADLINE_S, Up, alive, environment, wait_for


@pytest.fixture(scope="module")
def up(start_up, tmp_path_factory):
    return start_up(tmp_path_factory.mktemp("up") / "data").wait_until_it_answers()


def genescale(*words, **settings):
    return subprocess.run(
        [sys.executable, "-m", "genescale", *words],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env=environment(**settings),
        check=False,
    )


def test_the_portal_and_its_api_answer(up):
    state = up.platform()
    assert state["log"] == {"kind": "sqlite", "place": str(up.data)}
    assert {role["name"] for role in state["roles"]} == {"gateway", "keeper", "worker", "worker-urgent"}
    assert {"genetic-data-raw", "genescale-loop-state"} <= {topic["name"] for topic in state["topics"]}
    assert [panel["panel"] for panel in state["unavailable"]] == ["analysis", "scaling", "cost", "healing", "models"]
    assert up.get("/health")[0] == 200
    assert up.get("/")[1]["Content-Security-Policy"].startswith("default-src 'self'")
    assert up.get("/nowhere")[0] == 404


def test_each_role_offers_its_numbers(up):
    assert b'genescale_role_up{role="gateway"} 1.0' in up.get("/metrics")[2]
    up.running("keeper")
    probe = wait_for(lambda: [e["probe"] for e in up.events() if e["event"] == "keeping"])[-1]
    portal, up.url = up.url, probe
    try:
        wait_for(lambda: up.get("/ready")[0] == 200, "the keeper's first look at the log")
        assert b'genescale_role_up{role="keeper"} 1.0' in up.get("/metrics")[2]
    finally:
        up.url = portal


@pytest.mark.parametrize("name", ["gateway", "keeper"])
def test_a_killed_role_comes_back_and_the_port_was_never_lost(up, name):
    before = up.running(name)
    os.kill(before["pid"], signal.SIGKILL)
    wait_for(lambda: not alive(before["pid"]))
    # Asked while the gateway may be away: the supervisor holds the port, so the question waits instead of failing.
    after = wait_for(lambda: (r := up.running(name))["pid"] != before["pid"] and r, "a new process")
    assert after["restarts"] == before["restarts"] + 1


def test_a_second_up_on_the_same_directory_names_the_first(up):
    second = genescale("up", "--data", str(up.data), "--port", "0")
    assert second.returncode == 2
    assert f"process {up.process.pid}, portal {up.url}" in second.stderr
    assert "Traceback" not in second.stderr
    assert second.stdout == ""


def test_a_taken_port_names_who_holds_it(up, tmp_path):
    port = up.url.rpartition(":")[2]
    second = genescale("up", "--data", str(tmp_path), "--port", port)
    assert second.returncode == 2
    assert f"port {port} on 127.0.0.1 is taken" in second.stderr
    assert "--port" in second.stderr
    if sys.platform == "linux":
        assert f"process {up.process.pid} (" in second.stderr


@pytest.mark.slow
def test_a_taken_port_of_a_role_ends_the_whole_start_with_the_reason(tmp_path, start_up):
    with machine.listen("127.0.0.1", 0, "keeper.port") as taken:
        port = str(taken.getsockname()[1])
        second = start_up(tmp_path, GENESCALE_KEEPER_PORT=port)
        assert second.process.wait(DEADLINE_S) == 2
        second.reader.join()
    said = "\n".join(second.lines)
    assert f"port {port} on 127.0.0.1 is taken" in said
    assert "GENESCALE_KEEPER_PORT" in said


def test_ctrl_c_ends_everything_with_success(up):
    pids = [up.running(name)["pid"] for name in ("gateway", "keeper")]
    assert up.stop(signal.SIGINT) == 0
    assert not any(alive(pid) for pid in pids)
    assert not any("Traceback" in line for line in up.lines)
    assert "killed" not in {event["event"] for event in up.events()}
    assert list((up.data / "runtime").iterdir()) == []


@pytest.mark.slow
def test_roles_die_with_a_killed_supervisor_and_the_next_up_starts(tmp_path, start_up):
    data = tmp_path / "data"
    first = start_up(data).wait_until_it_answers()
    pids = [first.running(name)["pid"] for name in ("gateway", "keeper")]
    first.stop(signal.SIGKILL)
    wait_for(lambda: not any(alive(pid) for pid in pids), "the end of the roles")
    second = start_up(data).wait_until_it_answers()
    note = next(event for event in second.events() if "without saying so" in event["event"])
    assert note["pid"] == first.process.pid
    assert second.role("gateway")["pid"] not in pids
    assert second.stop(signal.SIGTERM) == 0


def test_one_role_alone_in_the_foreground(tmp_path):
    words = [sys.executable, "-m", "genescale", "run", "gateway", "--data", str(tmp_path), "--port", "0"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment()) as role:
        line = json.loads(role.stderr.readline())
        assert line["event"] == "serving"
        up = Up.__new__(Up)
        up.url = line["address"]
        (only,) = up.platform()["roles"]
        assert (only["name"], only["pid"], only["state"]) == ("gateway", role.pid, "running")
        role.send_signal(signal.SIGINT)
        assert role.wait(DEADLINE_S) == 0
        assert "Traceback" not in role.stderr.read()


@pytest.mark.slow
def test_a_full_disk_is_told_and_the_same_start_works_when_space_returns(tmp_path, start_up):
    with small_disk(tmp_path / "disk", 32 * 1024 * 1024) as disk:
        ballast = disk / "ballast"
        ballast.write_bytes(b"x" * (os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - 4096))
        result = genescale("up", "--data", str(disk / "data"), "--port", "0")
        assert result.returncode == 1
        assert "no space left" in result.stderr
        assert "Traceback" not in result.stderr
        ballast.unlink()
        again = start_up(disk / "data").wait_until_it_answers()
        assert len(again.platform()["topics"]) > 10
        assert again.stop(signal.SIGTERM) == 0


@pytest.mark.slow
def test_a_read_only_disk_is_told(tmp_path):
    with small_disk(tmp_path / "disk", 1024 * 1024) as disk:
        make_read_only(disk)
        result = genescale("up", "--data", str(disk / "data"), "--port", "0")
        assert result.returncode == 2
        assert "the disk is read-only" in result.stderr
