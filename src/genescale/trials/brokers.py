"""The Kafka cluster of a delivery run, in a process of its own.

Asking the brokers whether they are up takes a client with threads, and the conductor must stay without threads, since
it forks. So a child holds the cluster, and obeys one line at a time.
"""

import os
from typing import TextIO

from genescale.errors import GenescaleError
from genescale.trials.crew import die_with_parent
from genescale.trials.kafka_cluster import KafkaCluster
from genescale.trials.report import CannotRun


class RemoteCluster:
    """Three brokers; `kill` and `restart` return at once. Make it while this process has one thread."""

    def __init__(self) -> None:
        orders, self._orders = _pipe()
        self._answers, answers = _pipe()
        self._pid = os.fork()
        if self._pid == 0:
            self._orders.close()
            self._answers.close()
            _hold(orders, answers)
        orders.close()
        answers.close()
        word, _, rest = self._answers.readline().strip().partition(" ")
        if word != "up":
            raise CannotRun(f"Kafka did not start: {rest or 'its process ended'}")
        self.bootstrap = rest
        self.nodes: tuple[int, ...] = (1, 2, 3)

    def kill(self, node: int) -> None:
        """See `Brokers`."""
        self._order(f"kill {node}")

    def restart(self, node: int) -> None:
        """See `Brokers`."""
        self._order(f"restart {node}")

    def _order(self, words: str) -> None:
        self._orders.write(words + "\n")
        self._orders.flush()

    def close(self) -> None:
        """Stop the brokers and remove what they stored."""
        self._orders.close()
        os.waitpid(self._pid, 0)
        self._answers.close()


def _pipe() -> tuple[TextIO, TextIO]:
    receive, send = os.pipe()
    return os.fdopen(receive, "r"), os.fdopen(send, "w")


def _hold(orders: TextIO, answers: TextIO) -> None:
    """The child: start, obey, stop when nobody gives orders any more."""
    status = 1
    try:
        die_with_parent()
        with KafkaCluster() as cluster:
            answers.write(f"up {cluster.bootstrap}\n")
            answers.flush()
            for line in orders:
                what, node = line.split()
                (cluster.kill if what == "kill" else cluster.restart)(int(node))
        status = 0
    except GenescaleError as error:
        answers.write(f"failed {error}\n")
        answers.flush()
    finally:
        os._exit(status)
