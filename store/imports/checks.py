"""Reading numbers, times and dates out of text cells, as DuckDB macros: whole columns at a time.

Each macro gives null for text it can't read; the imports turn that into a reason.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import duckdb

from store.errors import BadInput
from store.imports.files import Layout, Progress, load_file
from store.imports.report import REFUSALS_KEPT, ImportReport

MAX_ID = 100  # characters
MAX_WORDS = 500
# What a formula of a spreadsheet that went wrong leaves in its cell, in a workbook and in a CSV of it.
SHEET_ERRORS = "'#N/A', '#REF!', '#VALUE!', '#NAME?', '#DIV/0!', '#NULL!', '#NUM!'"
ROUNDED = r"[0-9](\.[0-9]+)?[eE]\+[0-9]{2,}"  # how spreadsheets write long ids that they took for numbers
MONEY_RANGE = "'900000000000000'"  # what Decimal4 surely holds
FLOAT_PATTERN = r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,2})?"  # as programs print binary floats
FLOAT_NOISE = "1e-6"  # what such a number may be off by: 22.200000000000003 is 22.2, and 0.00001 stays refused
TIME_PATTERN = (
    r"^(\d{4}[-/]\d{1,2}[-/]\d{1,2}|\d{8})"
    r"(?:[T ]+((?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?))?"
    r"\s*(Z|z|[+-](?:0\d|1[0-4]):?(?:[0-5]\d)?)?$"
)
DAY_PATTERN = r"^(\d{4})[-/]?(\d{1,2})[-/]?(\d{1,2})$"

MACROS = f"""
CREATE MACRO is_number(x) AS regexp_full_match(x, '[+-]?[0-9]+(\\.[0-9]*)?');
CREATE MACRO fits_places(x) AS regexp_full_match(x, '[+-]?[0-9]+(\\.[0-9]{{0,4}}0*)?');
CREATE MACRO fits_range(x) AS abs(try_cast(x AS DECIMAL(38, 4))) < {MONEY_RANGE}::DECIMAL(38, 4);
CREATE MACRO meant(x) AS
    CASE WHEN fits_places(x) OR NOT regexp_full_match(x, '{FLOAT_PATTERN}') THEN x
         WHEN abs(round(x::DOUBLE, 4) - x::DOUBLE) < {FLOAT_NOISE}
         THEN coalesce(try_cast(round(x::DOUBLE, 4) AS DECIMAL(38, 4))::VARCHAR, x) ELSE x END;
CREATE MACRO exact_units(x) AS
    CASE WHEN is_number(x) AND fits_places(x) AND fits_range(x)
         THEN (try_cast(x AS DECIMAL(38, 4)) * 10000)::BIGINT END;
CREATE MACRO ten_thousandths(x) AS exact_units(meant(x));
CREATE MACRO exact_problem(x, name) AS
    CASE WHEN x IS NULL THEN NULL
         WHEN NOT is_number(x) THEN name || ' is not a plain number'
         WHEN NOT fits_places(x) THEN name || ' has more than 4 decimal places'
         WHEN NOT coalesce(fits_range(x), false) THEN name || ' is too large' END;
CREATE MACRO number_problem(x, name) AS exact_problem(meant(x), name);
CREATE MACRO time_parts(x) AS regexp_extract(x, '{TIME_PATTERN}', ['day', 'clock', 'shift']);
CREATE MACRO dashed(day) AS CASE WHEN length(day) = 8 AND day NOT LIKE '%/%' AND day NOT LIKE '%-%'
    THEN day[1:4] || '-' || day[5:6] || '-' || day[7:8] ELSE replace(day, '/', '-') END;
CREATE MACRO shift_minutes(shift) AS
    CASE WHEN shift IN ('Z', 'z') THEN 0
         ELSE (CASE WHEN shift[1] = '-' THEN -1 ELSE 1 END)
            * (shift[2:3]::INTEGER * 60 + coalesce(try_cast(replace(shift[4:], ':', '') AS INTEGER), 0)) END;
CREATE MACRO local_time(parts) AS
    try_cast(dashed(parts.day) || ' ' || CASE WHEN parts.clock = '' THEN '00:00' ELSE parts.clock END AS TIMESTAMP);
CREATE MACRO utc_time(x, zone) AS
    CASE WHEN time_parts(x).shift = '' THEN timezone('UTC', timezone(zone, local_time(time_parts(x))))
         ELSE local_time(time_parts(x)) - to_minutes(shift_minutes(time_parts(x).shift)) END;
CREATE MACRO day(x) AS CASE WHEN regexp_matches(x, '{DAY_PATTERN}') THEN try_cast(dashed(x) AS DATE) END;
CREATE MACRO yes_or_no(x) AS
    CASE WHEN lower(x) IN ('1', 'true', 'yes', 'y', 't', '是', '有') THEN true
         WHEN lower(x) IN ('0', 'false', 'no', 'n', 'f', '否', '無') THEN false END;
CREATE MACRO is_sheet_error(x) AS x IN ({SHEET_ERRORS});
CREATE MACRO id_problem(x, name) AS
    CASE WHEN x IS NULL THEN name || ' is empty'
         WHEN length(x) > {MAX_ID} THEN name || ' is longer than {MAX_ID} characters'
         WHEN is_sheet_error(x) THEN name || ' holds an error of Excel, such as #N/A'
         WHEN regexp_full_match(x, '{ROUNDED}') THEN name || ' was rounded by Excel: format the column as text' END;
CREATE MACRO words_problem(x, name) AS
    CASE WHEN length(x) > {MAX_WORDS} THEN name || ' is longer than {MAX_WORDS} characters'
         WHEN is_sheet_error(x) THEN name || ' holds an error of Excel, such as #N/A' END;
CREATE MACRO trimmed_words(x) AS list_transform(string_split(x, ';'), lambda w: trim(w));
CREATE MACRO words(x) AS
    list_filter(trimmed_words(x), lambda w, place: w <> '' AND list_position(trimmed_words(x), w) = place);
"""


@contextmanager
def checked_file(
    path: Path, layout: Layout, zone: ZoneInfo, progress: Progress | None
) -> Iterator[tuple[duckdb.DuckDBPyConnection, set[str], ImportReport]]:
    """The file in a DuckDB database of its own (spilling to a temporary folder), the known columns it has, and a
    report with `read` and `ignored_columns` filled in. Raises BadInput as `load_file` does."""
    with TemporaryDirectory(prefix="retarget-import-") as folder:
        config: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
        duck = duckdb.connect(str(Path(folder) / "import.duckdb"), config=config)
        try:
            duck.execute(f"SET TimeZone = 'UTC'; SET VARIABLE zone = '{zone.key}'")
            duck.execute(MACROS)
            loaded = load_file(duck, path, layout, progress)
            report = ImportReport(read=loaded.rows)
            if not layout.keeps_others:
                report.ignored_columns = sorted(loaded.others)
            yield duck, loaded.known, report
        finally:
            duck.close()


def refuse(duck: duckdb.DuckDBPyConnection, query: str) -> None:
    """Refuse the rows of `query`, which selects (row, reason)."""
    duck.execute(f"INSERT INTO refused {query}")


def refuse_repeats(duck: duckdb.DuckDBPyConnection, *, key: str, called: str) -> None:
    """From table `checked` (row, …, problem) to table `ready`: good rows, one per `key` (`called` in the file).

    Bad rows are refused. So are all the rows of a key that disagree: which one is right, nobody can tell here.
    """
    refuse(duck, "SELECT row, problem FROM checked WHERE problem IS NOT NULL")
    columns = [row[0] for row in duck.execute("DESCRIBE checked").fetchall() if row[0] not in ("row", "problem")]
    content = ", ".join(f"{name} := {name}" for name in columns)
    duck.execute(f"""
        CREATE TABLE good AS
        SELECT *, min(row) OVER same AS first_row, min(content) OVER same <> max(content) OVER same AS differs
        FROM (SELECT * EXCLUDE problem, to_json(struct_pack({content}))::VARCHAR AS content
              FROM checked WHERE problem IS NULL)
        WINDOW same AS (PARTITION BY {key})""")  # noqa: S608
    refuse(duck, f"SELECT row, 'several rows of this {called} have different values' FROM good WHERE differs")  # noqa: S608
    duck.execute(
        "CREATE TABLE ready AS SELECT * EXCLUDE (first_row, differs, content) FROM good"
        " WHERE NOT differs AND row = first_row ORDER BY row"
    )


def fill_refusals(duck: duckdb.DuckDBPyConnection, report: ImportReport, refused_path: Path | None) -> None:
    """Put the refused rows into `report`, and all of them with their cells into `refused_path` as CSV, if given.

    Raises BadInput when that can't be written; the report is filled in all the same."""
    by_reason = "SELECT reason, count(*) FROM refused GROUP BY reason ORDER BY count(*) DESC, reason"
    report.refused_by_reason = dict(duck.execute(by_reason).fetchall())
    report.refused_count = sum(report.refused_by_reason.values())
    first = f"SELECT row, reason FROM refused ORDER BY row LIMIT {REFUSALS_KEPT}"  # noqa: S608
    report.refused = duck.execute(first).fetchall()
    if refused_path:
        try:
            duck.execute(
                "COPY (SELECT refused.reason, raw.* REPLACE (refused.row AS row) FROM refused"
                " LEFT JOIN raw USING (row) ORDER BY refused.row) TO $path (FORMAT csv, HEADER)",
                {"path": str(refused_path)},
            )
        except duckdb.IOException as error:
            raise BadInput(f"the refused rows can't be written to {refused_path}") from error
