"""Real processes: output, restarts, stubborn children, and death together with the supervisor."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from genescale.clock import SystemClock
from genescale.cluster import local, machine
from genescale.cluster.supervise import Policy
from genescale.errors import CannotStart
from support.require import require

READY = (
    "import os\nfd = int(os.environ['_GENESCALE_SUPERVISOR'].split(':')[1])\nos.write(fd, b'ready\\n'); os.close(fd)\n"
)
SLEEP = "import time; time.sleep(60)\n"
POLICY = Policy(first_delay_s=0.05, delay_max_s=0.2, grace_s=1.0)
DEADLINE_S = 20.0


class World:
    """Runs scripts as roles in this very thread; `script` says when it has seen enough."""

    def __init__(self, scripts, enough, policy=POLICY):
        self.lines, self.happenings, self.reports = [], [], []
        self.enough = enough
        self.asked = False
        commands = [
            local.RoleCommand(name=name, arguments=(sys.executable, "-c", script), environment=dict(os.environ))
            for name, script in scripts.items()
        ]
        self.platform = local.LocalPlatform(
            commands,
            policy=policy,
            clock=SystemClock(),
            watcher=local.Watcher(line=self.line, happened=self.happened, publish=self.publish),
            sample_every_s=0.1,
        )

    def line(self, *line):
        self.lines.append(line)
        self.look()

    def happened(self, role, what, facts):
        self.happenings.append((role, what, dict(facts)))
        self.look()

    def publish(self, report):
        self.reports.append(report)
        self.look()

    def look(self):
        if not self.asked and self.enough(self):
            self.asked = True
            os.kill(os.getpid(), signal.SIGTERM)

    def run(self):
        watchdog = threading.Timer(DEADLINE_S, os.kill, (os.getpid(), signal.SIGTERM))
        watchdog.start()
        ended = self.platform.run()
        watchdog.cancel()
        assert self.asked, f"nothing to see before the deadline: {self.happenings} {self.lines}"
        return ended


def told(world, what, role="a"):
    return [facts for name, said, facts in world.happenings if (name, said) == (role, what)]


def test_lines_come_whole_and_by_stream():
    script = "import sys\nprint('one\\ntwo\\nre', end='st', flush=True)\nprint('err', file=sys.stderr, flush=True)\n"
    world = World({"a": READY + script + SLEEP}, lambda world: len(world.lines) >= 3)
    ended = world.run()
    assert ended.role("a").phase == "stopped"
    by_stream = {stream: [line for _, s, line in world.lines if s == stream] for stream in ("stdout", "stderr")}
    assert by_stream == {"stdout": ["one", "two", "rest"], "stderr": ["err"]}


def test_a_line_without_end_is_shown_in_pieces():
    world = World(
        {"a": "print('x' * 300_000)\n" + SLEEP}, lambda world: sum(len(row[2]) for row in world.lines) == 300_000
    )
    world.run()
    assert max(len(line) for *_, line in world.lines) <= 2 * 65_536


def test_bytes_that_are_no_text_do_not_end_the_supervisor():
    world = World({"a": "import os; os.write(2, b'\\xff\\xfe\\n')\n" + SLEEP}, lambda world: world.lines)
    world.run()
    assert world.lines[0][2] == "\ufffd\ufffd"


def test_a_role_that_ends_is_started_again_and_a_loop_is_told():
    world = World({"a": "raise SystemExit(3)"}, lambda world: any("in_a_row" in f for *_, f in world.happenings))
    ended = world.run()
    assert ended.role("a").restarts >= 4
    assert told(world, "ended, starting it again")[0]["ended_with"] == "exit status 3"


def test_a_killed_role_takes_its_children_along_and_comes_back():
    child = "import subprocess, sys\np = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    script = READY + child + "print(p.pid, flush=True)\n" + SLEEP
    children = []

    def enough(world):
        if world.lines and not children:
            children.append(int(world.lines[0][2]))
            os.kill(world.reports[-1].roles[0].pid, signal.SIGKILL)
        return len(world.lines) >= 2

    world = World({"a": script}, enough)
    world.run()
    wait_for(lambda: not alive(children[0]))
    assert told(world, "ended, starting it again")[0]["ended_with"] == "signal 9"


def test_a_role_that_does_not_listen_is_killed_after_the_grace():
    script = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + READY + SLEEP
    world = World({"a": script}, lambda world: told(world, "running"))
    ended = world.run()
    assert told(world, "killed, it did not stop in time")
    assert ended.role("a").last_exit == "signal 9"


def test_a_role_that_cannot_run_ends_the_others_too():
    world = World({"a": "print('no port', flush=True)\nraise SystemExit(2)", "b": SLEEP}, lambda world: world.lines)
    world.enough = lambda _: False
    world.asked = True
    ended = world.run()
    assert ended.given_up == "a"
    assert ended.role("b").last_exit == "signal 15"


def test_a_program_that_does_not_exist_is_told_and_tried_again():
    world = World({"a": ""}, lambda world: len(told(world, "cannot be started")) >= 2)
    world.platform._commands = {
        "a": local.RoleCommand(name="a", arguments=("/nowhere/python",), environment=dict(os.environ))
    }
    world.run()
    assert "No such file" in told(world, "cannot be started")[0]["reason"]


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no /proc")
def test_the_report_says_what_each_role_uses():
    world = World({"a": READY + SLEEP}, lambda world: any(r.roles[0].pss_bytes for r in world.reports))
    world.run()
    report = next(report for report in world.reports if report.roles[0].pss_bytes)
    assert report.pid == os.getpid()
    assert report.roles[0].state == "running"
    assert 1_000_000 < report.roles[0].pss_bytes < 100_000_000
    assert report.roles[0].cpu_s < 5


def test_roles_die_with_a_supervisor_that_is_killed():
    require("Linux", sys.platform == "linux", "only Linux ends children with their parent")
    role = (
        "import os\nfrom genescale.cluster import local\nlocal.join(local.supervised(os.environ))\n"
        "print(os.getpid(), flush=True)\n"
    )
    parent = (
        "import os, sys\nfrom genescale.clock import SystemClock\nfrom genescale.cluster import local\n"
        "from genescale.cluster.supervise import Policy\n"
        f"arguments = (sys.executable, '-c', {role + SLEEP!r})\n"
        "command = local.RoleCommand(name='a', arguments=arguments, environment=dict(os.environ))\n"
        "watcher = local.Watcher(line=lambda role, stream, line: print(line, flush=True),"
        " happened=lambda *_: None, publish=lambda _: None)\n"
        "local.LocalPlatform([command], policy=Policy(), clock=SystemClock(), watcher=watcher).run()\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as supervisor:
        pid = int(supervisor.stdout.readline())
        assert alive(pid)
        supervisor.kill()
    wait_for(lambda: not alive(pid))


def test_a_taken_port_names_its_holder_and_the_way_out():
    with machine.listen("127.0.0.1", 0, "gateway.port") as first:
        port = first.getsockname()[1]
        who = rf" by process {os.getpid()} \(" if sys.platform == "linux" else ""
        with pytest.raises(
            CannotStart, match=rf"port {port} on 127\.0\.0\.1 is taken{who}.*GENESCALE_GATEWAY_PORT.*--port"
        ):
            machine.listen("127.0.0.1", port, "gateway.port", "--port")


def test_an_address_that_this_machine_does_not_have():
    with pytest.raises(CannotStart, match=r"cannot listen on 203\.0\.113\.1.*gateway\.host"):
        machine.listen("203.0.113.1", 0, "gateway.port")


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        threading.Event().wait(0.02)
