"""A real standalone cluster for the tests: a master and two workers as processes on the loopback address."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyspark
import pytest

from segmentation.spark.session import SparkConnection, open_spark, spark_java

SECONDS_TO_START = 120
ALLOWED = (
    # Ibis 12 calls a function of DuckDB's that DuckDB 2 calls deprecated
    r"ignore:fetch_arrow_table\(\) is deprecated:DeprecationWarning",
    # py4j and PySpark leave their sockets to the garbage collector
    "ignore:unclosed.*socket:ResourceWarning",
    "ignore:Exception ignored in.*socket:pytest.PytestUnraisableExceptionWarning",
)
# What an operator would write for machines as small as these.
CONFIGURATION = """
spark.driver.host 127.0.0.1
spark.driver.bindAddress 127.0.0.1
spark.driver.memory 512m
spark.executor.memory 512m
spark.sql.shuffle.partitions 3
spark.locality.wait 0
spark.driver.extraJavaOptions -XX:TieredStopAtLevel=1 -XX:+UseSerialGC
spark.executor.extraJavaOptions -XX:TieredStopAtLevel=1 -XX:+UseSerialGC
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            for warning in ALLOWED:
                item.add_marker(pytest.mark.filterwarnings(warning))


@dataclass
class Cluster:
    """A running cluster: its address, and its workers' processes (each leads a group with its executors)."""

    master: str
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)


NewCluster = Callable[[], AbstractContextManager[Cluster]]


@pytest.fixture(scope="session")
def java_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return spark_java(tmp_path_factory.mktemp("java"))


@pytest.fixture(scope="session", autouse=True)
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("conf")
    (folder / "spark-defaults.conf").write_text(CONFIGURATION)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_CONF_DIR", str(folder))
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        yield


@pytest.fixture(scope="session")
def new_cluster(java_home: Path, configuration: None, tmp_path_factory: pytest.TempPathFactory) -> NewCluster:
    """Call for a cluster of its own, to be used in a `with`."""

    @contextmanager
    def new() -> Iterator[Cluster]:
        folder = tmp_path_factory.mktemp("cluster")
        with ExitStack() as processes:

            def start(name: str, *words: str) -> subprocess.Popen[bytes]:
                command = [str(Path(pyspark.__file__).parent / "bin" / "spark-class"), *words]
                environment = {**os.environ, "JAVA_HOME": str(java_home), "SPARK_DAEMON_MEMORY": "128m"}
                with (folder / f"{name}.log").open("wb") as log:
                    process = subprocess.Popen(
                        command, stdout=log, stderr=log, env=environment, start_new_session=True, cwd=folder
                    )
                processes.callback(_kill, process)
                return process

            port = _free_port()
            cluster = Cluster(f"spark://127.0.0.1:{port}")
            place = ("--host", "127.0.0.1", "--port")
            start(
                "master", "org.apache.spark.deploy.master.Master", *place, str(port), "--webui-port", str(_free_port())
            )
            _wait_for("Started master", lambda: _accepts(port), folder)
            for number in (1, 2):
                size = ("--cores", "1", "--memory", "600m", "--work-dir", str(folder / f"work{number}"))
                ports = (*place, str(_free_port()), "--webui-port", str(_free_port()))
                name = "org.apache.spark.deploy.worker.Worker"
                cluster.workers.append(start(f"worker{number}", name, *ports, *size, cluster.master))
            for number in (1, 2):
                log = folder / f"worker{number}.log"
                said = b"Successfully registered with master"
                _wait_for(f"worker {number}", lambda log=log, said=said: said in log.read_bytes(), folder)  # type: ignore[misc]
            yield cluster

    return new


@pytest.fixture(scope="session")
def cluster(new_cluster: NewCluster) -> Iterator[Cluster]:
    with new_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def spark(cluster: Cluster) -> Iterator[SparkConnection]:
    """A session on the cluster, for all tests of a module."""
    with open_spark(cluster.master) as connection:
        yield connection


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _wait_for(what: str, is_there: Callable[[], bool], folder: Path) -> None:
    end = time.monotonic() + SECONDS_TO_START
    while not is_there():
        if time.monotonic() > end:
            said = "\n".join(path.read_text()[-2000:] for path in folder.glob("*.log"))
            raise TimeoutError(f"{what} did not start:\n{said}")
        time.sleep(0.1)
