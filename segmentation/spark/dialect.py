"""Ibis's Spark backend with what Ibis 12 gets wrong put right. Imported only where Spark is installed."""

from typing import Any

from ibis.backends.pyspark import Backend
from ibis.backends.sql.compilers.base import NULL
from ibis.backends.sql.compilers.pyspark import PySparkCompiler


class _Compiler(PySparkCompiler):  # type: ignore[misc]
    __slots__ = ()

    def visit_Cast(self, op: Any, *, arg: Any, to: Any) -> Any:  # noqa: N802 - Ibis's name
        """A float becomes the nearest whole number, the even one of two, as DuckDB has it; Spark would cut it off."""
        if op.arg.dtype.is_floating() and to.is_integer():
            arg = self.f.anon.rint(arg)
        return super().visit_Cast(op, arg=arg, to=to)

    def visit_Median(self, op: Any, *, arg: Any, where: Any) -> Any:  # noqa: N802
        """Ibis makes the share, 0.5, conditional too, which Spark refuses."""
        return self.f.percentile(arg if where is None else self.if_(where, arg, NULL), 0.5)

    def visit_BitOr(self, op: Any, *, arg: Any, where: Any) -> Any:  # noqa: N802
        """Spark has it, Ibis doesn't say so."""
        return self.f.anon.bit_or(arg if where is None else self.if_(where, arg, NULL))

    def visit_DateDelta(self, op: Any, *, left: Any, right: Any, part: Any) -> Any:  # noqa: N802
        """Ibis counts whole days between the two midnights, one too few where a day begins at one o'clock, as it does
        in some zones when summer time starts. Dates are subtracted here; only days are asked for."""
        assert op.part.value == "day"
        return self.f.anon.date_diff(left, right)


class SparkBackend(Backend):  # type: ignore[misc]
    """Ibis on a Spark session."""

    compiler = _Compiler()
