"""A real Apache Kafka on loopback, from its Maven artefacts: three KRaft brokers in about two seconds.

The contract suite, the fault runs and the benches use the same one, so that what is measured is what was tested.
Needs Java 17 or newer, and Maven for the first fetch (44 MB, kept outside the checkout). Nothing here is for
production: all data live in one folder that `stop` throws away.

    with KafkaCluster() as kafka:
        print(kafka.bootstrap)
        kafka.kill(2)
        kafka.restart(2)
"""

# The type stubs of confluent-kafka re-export without saying so, and leave futures untyped.
# pyright: reportPrivateImportUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false

import base64
import contextlib
import fcntl
import functools
import hashlib
import os
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from genescale.clock import Clock, SystemClock
from genescale.errors import GenescaleError
from genescale.trials.scratch import cache_folder

# Pinned: 4.4.0 is half published (a needed jar is missing), and a version range would pick it.
KAFKA_VERSION = "4.3.1"
JAVA_MINIMUM = 17

_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>genescale.trials</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""

# A broker that lives for a minute never earns back the second compiler and the parallel collector: 8.8 s -> 3.5 s.
_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

# With Kafka's defaults every killed broker costs 8 to 20 s until it is missed; a test has no such time.
_QUICK_FAILOVER: Mapping[str, str | int] = {
    "broker.session.timeout.ms": 2000,
    "broker.heartbeat.interval.ms": 300,
    "controller.quorum.election.timeout.ms": 500,
    "controller.quorum.fetch.timeout.ms": 1000,
    "group.min.session.timeout.ms": 1000,
    "group.consumer.session.timeout.ms": 6000,
    "group.consumer.min.session.timeout.ms": 1000,
    "group.consumer.heartbeat.interval.ms": 1000,
    "group.consumer.min.heartbeat.interval.ms": 300,
}

ADMIN = "admin"

Operation = Literal["read", "write", "create", "describe", "alter"]
Resource = Literal["topic", "group", "cluster"]


class ClusterError(GenescaleError):
    """The test cluster could not be fetched, started or reached; the message says why and what to do."""


def available(*, secure: bool = False) -> str | None:
    """Why this machine cannot run the cluster, with the way out; None when it can."""
    try:
        _java_version()
    except ClusterError as error:
        return str(error)
    if not _library(_cache()).exists() and shutil.which("mvn") is None:
        return f"mvn is not installed; Maven fetches Apache Kafka {KAFKA_VERSION} once (Debian: apt-get install maven)"
    if secure and shutil.which("openssl") is None:
        return "openssl is not installed; it makes the certificates of the TLS listeners"
    return None


class KafkaCluster:
    """Some brokers (nodes 1 to `brokers`), each its own process, that die with the process that made them.

    `secure` adds TLS, SCRAM-SHA-512 and ACLs: nobody but `admin` may do anything until `allow` says so.
    `users` maps further names to passwords. `settings` are broker properties that override those chosen here.
    """

    def __init__(
        self,
        *,
        brokers: int = 3,
        secure: bool = False,
        users: Mapping[str, str] | None = None,
        settings: Mapping[str, str | int] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.nodes = tuple(range(1, brokers + 1))
        self.secure = secure
        self.passwords = {ADMIN: secrets.token_hex(16), **(users or {})}
        self.folder = Path(tempfile.mkdtemp(prefix="genescale-kafka-"))
        self._settings = {**_QUICK_FAILOVER, **(settings or {})}
        self._clock = clock or SystemClock()
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._guard: subprocess.Popen[bytes] | None = None
        self._class_path = ""
        self._archive: Path | None = None
        ports = _free_ports(2 * brokers)
        self._ports, self._controllers = ports[:brokers], ports[brokers:]

    @property
    def bootstrap(self) -> str:
        """`host:port` of every broker, for `bootstrap.servers`."""
        return ",".join(f"127.0.0.1:{port}" for port in self._ports)

    @property
    def ca_path(self) -> Path:
        """The certificate that clients of a secure cluster must trust."""
        return self.folder / "ca.crt"

    def start(self, *, timeout_s: float = 60.0) -> "KafkaCluster":
        """Fetch if needed, format, start, and wait until every broker is listed."""
        if problem := available(secure=self.secure):
            raise ClusterError(problem)
        self._class_path = fetch()
        self._archive = class_archive(self._class_path)
        return self._start(timeout_s)

    def stop(self) -> None:
        """End every broker and remove its data. SIGKILL: an orderly end of three takes 5 s, for data nobody reads."""
        if self._guard is not None:
            os.killpg(self._guard.pid, signal.SIGKILL)
            self._guard.communicate()
            self._guard = None
        for process in self._processes.values():
            process.wait()
        self._processes.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def record_classes(self, class_path: str, archive: Path) -> None:
        """Start, work once, and end in order: Java then writes the classes that were loaded into `archive`."""
        partial = archive.with_suffix(".partial")
        self._class_path = class_path
        self._start(60.0, (f"-XX:ArchiveClassesAtExit={partial}",))
        admin = self.admin()
        admin.create_topics([NewTopic("warm", 1, 1)], request_timeout=20)["warm"].result(30)
        for process in self._processes.values():
            process.terminate()
            process.wait(30)
        if not partial.exists():
            raise ClusterError(f"Java wrote no class archive:\n{self._log('node1.log')}")
        partial.rename(archive)

    def kill(self, node: int) -> None:
        """SIGKILL one broker; its data stay."""
        process = self._processes.pop(node)
        process.kill()
        process.wait()

    def restart(self, node: int, *, timeout_s: float = 60.0) -> None:
        """Start a killed broker again and wait until it is listed."""
        self._run(node)
        self._wait_listed([node], timeout_s)

    def pause(self, node: int) -> None:
        """SIGSTOP: the broker holds its connections and answers nothing."""
        self._processes[node].send_signal(signal.SIGSTOP)

    def unpause(self, node: int) -> None:
        """SIGCONT."""
        self._processes[node].send_signal(signal.SIGCONT)

    def pids(self) -> dict[int, int]:
        """The process id of every running broker."""
        return {node: process.pid for node, process in self._processes.items()}

    def client_settings(self, user: str = ADMIN) -> dict[str, str]:
        """What a librdkafka client needs to reach this cluster as `user`."""
        plain = {"bootstrap.servers": self.bootstrap}
        if not self.secure:
            return plain
        return plain | {
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(self.ca_path),
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": self.passwords[user],
        }

    def admin(self) -> AdminClient:
        """An admin client of the superuser. Keep it in a variable: one that is collected never answers."""
        return _admin(self.client_settings())

    def allow(self, user: str, operation: Operation, resource: Resource, name: str, *, prefixed: bool = False) -> None:
        """One ACL: `user` may do `operation` on this topic or group, or on every one whose name begins so."""
        pattern = ResourcePatternType.PREFIXED if prefixed else ResourcePatternType.LITERAL
        kind = ResourceType.BROKER if resource == "cluster" else ResourceType[resource.upper()]
        binding = AclBinding(
            kind, name, pattern, f"User:{user}", "*", AclOperation[operation.upper()], AclPermissionType.ALLOW
        )
        admin = self.admin()
        for future in admin.create_acls([binding], request_timeout=10).values():
            future.result(15)

    def __enter__(self) -> "KafkaCluster":
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self, timeout_s: float, jvm: tuple[str, ...] = ()) -> "KafkaCluster":
        # The brokers join the guard's process group. However this process ends, SIGKILL included, its end of the pipe
        # closes, and the guard removes the data and kills the group. The end of a mere thread changes nothing, as it
        # would with PR_SET_PDEATHSIG.
        # Brokers that still write may put back what was just removed: a few rounds, then the end in any case.
        script = 'read -r _; for _ in 1 2 3 4 5; do rm -rf -- "$0" && break; done; kill -KILL 0'
        self._guard = subprocess.Popen(
            ["sh", "-c", script, str(self.folder)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        self._format()
        for node in self.nodes:
            self._run(node, jvm)
        self._wait_listed(self.nodes, timeout_s)
        return self

    def _format(self) -> None:
        if self.secure:
            _make_certificates(self.folder)
        users: list[str] = []
        if self.secure:
            for name, password in self.passwords.items():
                users += ["--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]"]
        for node in self.nodes:
            lines = [f"{name}={value}\n" for name, value in self._properties(node).items()]
            (self.folder / f"node{node}.properties").write_text("".join(lines))
        command = ["kafka.tools.StorageTool", "format", "-t", _cluster_id(), "-c", "node1.properties", *users]
        if self._java("format.log", ("-Xmx64m", *self._shared_classes()), command).wait() != 0:
            raise ClusterError(f"formatting failed:\n{self._log('format.log')}")
        # The nodes differ in two lines; a JVM for each would take longer than all the rest of this method.
        made = (self.folder / "data1" / "meta.properties").read_text()
        for node in self.nodes[1:]:
            data = shutil.copytree(self.folder / "data1", self.folder / f"data{node}")
            mine = re.sub(r"(?m)^node\.id=.*$", f"node.id={node}", made)
            mine = re.sub(r"(?m)^directory\.id=.*$", f"directory.id={_cluster_id()}", mine)
            (data / "meta.properties").write_text(mine)

    def _run(self, node: int, jvm: tuple[str, ...] = ()) -> None:
        options = (
            "-Xmx256m",  # 64 MiB already survives load; the rest is head room
            *(jvm or self._shared_classes()),
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            f"-Djava.io.tmpdir={self.folder}",  # lz4 and zstd unpack their libraries there
        )
        self._processes[node] = self._java(f"node{node}.log", options, ["kafka.Kafka", f"node{node}.properties"])

    def _shared_classes(self) -> tuple[str, ...]:
        return (f"-XX:SharedArchiveFile={self._archive}",) if self._archive is not None else ()

    def _java(self, log: str, options: tuple[str, ...], command: list[str]) -> subprocess.Popen[bytes]:
        assert self._guard is not None
        with (self.folder / log).open("ab") as output:
            return subprocess.Popen(
                ["java", *_JVM, *options, "-cp", self._class_path, *command],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=self._guard.pid,
            )

    def _wait_listed(self, nodes: Iterable[int], timeout_s: float) -> None:
        wanted = set(nodes)
        ports = ",".join(f"127.0.0.1:{self._ports[node - 1]}" for node in sorted(wanted))
        admin = _admin(self.client_settings() | {"bootstrap.servers": ports})
        deadline = self._clock.monotonic_s() + timeout_s
        while self._clock.monotonic_s() < deadline:
            for node in wanted:
                if (code := self._processes[node].poll()) is not None:
                    raise ClusterError(f"broker {node} ended with {code}:\n{self._log(f'node{node}.log')}")
            with contextlib.suppress(KafkaException):  # nothing listens yet: this loop is the wait
                if wanted <= set(admin.list_topics(timeout=1).brokers):
                    return
            self._clock.sleep(0.05)
        raise ClusterError(f"brokers {sorted(wanted)} were not all listed in {timeout_s:.0f} s; logs in {self.folder}")

    def _log(self, name: str) -> str:
        return (self.folder / name).read_text(errors="replace")[-2000:]

    def _properties(self, node: int) -> dict[str, str | int]:
        count = len(self.nodes)
        quorum = min(2, count)
        client = "SASL_SSL" if self.secure else "PLAINTEXT"
        address = f"{client}://127.0.0.1:{self._ports[node - 1]}"
        properties: dict[str, str | int] = {
            "process.roles": "broker,controller",
            "node.id": node,
            "controller.quorum.voters": ",".join(f"{n}@127.0.0.1:{p}" for n, p in enumerate(self._controllers, 1)),
            "listeners": f"{address},CONTROLLER://127.0.0.1:{self._controllers[node - 1]}",
            "advertised.listeners": address,
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": client,
            "listener.security.protocol.map": f"CONTROLLER:{'SSL' if self.secure else 'PLAINTEXT'},{client}:{client}",
            "log.dirs": f"data{node}",
            "offsets.topic.replication.factor": count,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": count,
            "transaction.state.log.min.isr": quorum,
            "transaction.state.log.num.partitions": 2,
            "share.coordinator.state.topic.replication.factor": count,
            "share.coordinator.state.topic.min.isr": quorum,
            "min.insync.replicas": quorum,
            "default.replication.factor": count,
            "num.partitions": 24,
            "group.initial.rebalance.delay.ms": 0,
            "auto.create.topics.enable": "false",
            "num.network.threads": 2,
            "num.io.threads": 2,
            "log.cleaner.dedupe.buffer.size": 2 * 1024 * 1024,
        }
        if self.secure:
            properties |= self._security_properties()
        return properties | self._settings

    def _security_properties(self) -> dict[str, str | int]:
        login = "org.apache.kafka.common.security.scram.ScramLoginModule required"
        who = f'username="{ADMIN}" password="{self.passwords[ADMIN]}"'
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": "broker.pem",
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": "ca.crt",
            "listener.name.controller.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f"{login} {who};",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{ADMIN};User:CN=broker",
        }


def fetch() -> str:
    """The class path of Apache Kafka, downloaded once. Safe when several processes ask at the same time."""
    cache = _cache()
    library = _library(cache)
    with _locked(cache):
        if not library.exists():
            partial = library.with_name("lib.partial")
            shutil.rmtree(partial, ignore_errors=True)
            (cache / "pom.xml").write_text(_POM)
            goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
            command = ["mvn", "-B", "-ntp", "-q", "--strict-checksums", "-f", str(cache / "pom.xml"), goal]
            command += ["-DincludeScope=runtime", f"-DoutputDirectory={partial}"]
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=False)
            except FileNotFoundError:
                raise ClusterError(available() or "mvn is not installed") from None
            if done.returncode != 0:
                raise ClusterError(f"Maven could not fetch Apache Kafka {KAFKA_VERSION}:\n{done.stdout[-2000:]}")
            partial.rename(library)
    # Sorted, and always the same folder: Java ignores a class archive in silence when the class path differs.
    return ":".join(sorted(str(jar) for jar in library.glob("*.jar")))


def class_archive(class_path: str) -> Path:
    """Loaded classes as one mapped file (AppCDS), built once in about 10 s: three brokers 3.5 s -> 2 s.

    A broker leaves it behind when it ends in order. Another Java or another class path gets its own.
    """
    cache = _cache()
    key = hashlib.sha256(f"{_java_version()}\n{_JVM}\n{class_path}".encode()).hexdigest()[:12]
    archive = cache / f"classes-{key}.jsa"
    with _locked(cache):
        if not archive.exists():
            cluster = KafkaCluster(brokers=1)
            try:
                cluster.record_classes(class_path, archive)
            finally:
                cluster.stop()
    return archive


def _admin(settings: dict[str, str]) -> AdminClient:
    # Brokers come and go here by intention: no log lines about it, and quick to come back.
    return AdminClient({**settings, "log_level": 0, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100})


def _cache() -> Path:
    return cache_folder() / f"kafka-{KAFKA_VERSION}"


def _library(cache: Path) -> Path:
    return cache / "lib"


@contextlib.contextmanager
def _locked(cache: Path) -> Generator[None]:
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@functools.cache
def _java_version() -> str:
    try:
        said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    except FileNotFoundError:
        raise ClusterError(
            f"java is not installed; Apache Kafka needs Java {JAVA_MINIMUM} or newer (Debian: apt-get install "
            "default-jre-headless)"
        ) from None
    found = re.search(r'version "(\d+)', said)
    if found is None or int(found[1]) < JAVA_MINIMUM:
        first = said.splitlines()[0] if said else "nothing"
        raise ClusterError(f"Apache Kafka needs Java {JAVA_MINIMUM} or newer; `java -version` says {first!r}")
    return said


def _make_certificates(folder: Path) -> None:
    """One authority, and one certificate that all brokers share (loopback names, server and client use)."""
    (folder / "names.ext").write_text(
        "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n"
    )
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    sign = ["x509", "-req", "-in", "broker.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"]
    steps = (
        ["req", "-x509", *key, "-days", "30", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=genescale-trials"],
        ["req", *key, "-keyout", "broker.key", "-out", "broker.csr", "-subj", "/CN=broker"],
        [*sign, "-days", "30", "-extfile", "names.ext", "-out", "broker.crt"],
        ["pkcs8", "-topk8", "-nocrypt", "-in", "broker.key", "-out", "broker.p8"],
    )
    for step in steps:
        done = subprocess.run(["openssl", *step], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ClusterError(f"openssl {step[0]} failed: {done.stderr[-500:]}")
    parts = [(folder / name).read_text() for name in ("broker.p8", "broker.crt", "ca.crt")]
    (folder / "broker.pem").write_text("".join(parts))  # Kafka reads key and chain from one file


def _free_ports(count: int) -> list[int]:
    """Ports below the range from which systems take client ports.

    A killed broker's port must still be free when it comes back: in that range a client that keeps trying to connect
    would sooner or later be given the very port it calls, and reach itself.
    """
    found: list[int] = []
    for port in random.SystemRandom().sample(range(20_000, 32_000), 1000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:  # taken by somebody else
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise ClusterError("no free ports between 20000 and 32000 on 127.0.0.1")


def _cluster_id() -> str:
    """22 characters of base64; one that begins with a dash would be read as an option."""
    while True:
        identity = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not identity.startswith("-"):
            return identity
