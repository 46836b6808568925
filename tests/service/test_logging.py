"""What the logs must not hold: people's words and tokens, not even where something failed."""

import pytest
import structlog
from sqlalchemy import Engine, insert
from sqlalchemy.exc import IntegrityError

from service.logging import set_up_logging
from store.engine import table_of, transaction
from store.models import AuditEntry
from tests.factories import LONG_AGO


@pytest.mark.parametrize("as_json", [False, True])
def test_a_logged_failure_shows_where_it_was_and_no_local_variables(
    capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    set_up_logging(as_json=as_json)

    def work(words: str) -> None:
        raise RuntimeError(f"{len(words)} characters")

    try:
        work("".join(("不", "想", "再", "收")))
    except RuntimeError:
        structlog.get_logger().exception("job_failed", job="inbox")
    logged = capsys.readouterr().err
    assert "job_failed" in logged
    assert "in work" in logged
    assert "4 characters" in logged
    assert "不想再收" not in logged
    assert "\\u4e0d\\u60f3" not in logged


def test_a_refused_row_is_not_quoted_by_the_databases_error(engine: Engine) -> None:
    row = {"at": LONG_AGO, "actor": "王小明", "action": None, "detail": {"words": "不想再收"}}
    with pytest.raises(IntegrityError) as caught, transaction(engine) as session:
        session.execute(insert(table_of(AuditEntry)).values(**row))
    for error in (caught.value, caught.value.orig):
        assert "action" in str(error)
        assert "王小明" not in str(error)
        assert "不想再收" not in str(error)
