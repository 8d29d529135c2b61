"""A real `genescale up` for tests: started on a free port, asked over HTTP, ended for certain."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

DEADLINE_S = 30.0


def wait_for(condition, what="it"):
    """Ask until the answer is true, then give it back."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"{what} did not happen in {DEADLINE_S} s"
        threading.Event().wait(0.02)


def alive(pid):
    """Whether this process still runs; one that waits for its parent does not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def environment(**settings):
    """This process' environment without its settings of Genescale."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("GENESCALE_")}
    return {**plain, "GENESCALE_KEEPER_PORT": "0", **settings}


class Up:
    """A platform on a free port."""

    def __init__(self, data, *words, **settings):
        self.data = data
        self.begun_s = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "genescale", "up", "--data", str(data), "--port", "0", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**settings),
        )
        self.lines = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.url = None

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def wait_until_it_answers(self):
        first_line = self.process.stdout.readline()
        assert "http://" in first_line, "\n".join([first_line, *self.lines])
        self.url = next(word for word in first_line.split() if word.startswith("http://"))
        wait_for(lambda: self.get("/ready")[0] == 200, "ready")
        return self

    def get(self, path):
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as reply:
                return reply.status, reply.headers, reply.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def platform(self):
        status, _, body = self.get("/api/v1/platform")
        assert status == 200, body
        return json.loads(body)

    def role(self, name):
        return next(role for role in self.platform()["roles"] if role["name"] == name)

    def running(self, name):
        """The role once it runs."""
        return wait_for(lambda: (role := self.role(name))["state"] == "running" and role, f"{name} running")

    def events(self):
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    def stop(self, number):
        self.process.send_signal(number)
        status = self.process.wait(DEADLINE_S)
        self.reader.join(DEADLINE_S)
        return status

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(DEADLINE_S)
        self.reader.join(DEADLINE_S)
        self.process.stdout.close()
        self.process.stderr.close()
