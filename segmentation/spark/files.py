"""Segments of plain order files by way of a Spark cluster: Parquet in, one CSV or Parquet file out, no database."""

from pathlib import Path

from segmentation.engine import Request, open_duckdb
from segmentation.files import FileResult, ending_of, write_result, written_whole
from segmentation.spark.engine import compute_parquet


def segment_files(master: str, orders: str, out: Path, request: Request) -> FileResult:
    """As `files.segment_file`, of Parquet files at `orders` (a file, a folder or an address) that every worker of the
    cluster sees; the result is one file here. Raises BadInput as that does, SparkFailed when the cluster gives up."""
    ending_of(out)
    with open_duckdb(request.zone) as duck:
        result = compute_parquet(duck, master, orders, request)
        with written_whole(out) as unfinished:
            write_result(duck, result, unfinished)
    return FileResult(result.people, result.cycle_days, out)
