"""匯入資料: hand in a file, look at what it holds, let the worker import it, and see each row refused and why."""

from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from flask import Blueprint, Response, flash, g, redirect, render_template, request, url_for
from sqlalchemy import select

from console.access.roles import Role, needs
from console.frame.paging import before_id
from console.frame.routes import add_routes, get, post
from console.frame.site import Site, site
from console.words.catalog import translate
from console.words.refusals import told
from store.engine import reading, table_of, transaction
from store.errors import BadInput, ExpectedError, NotFound
from store.imports.kinds import LAYOUTS, template
from store.imports.preview import Preview, peek
from store.imports.uploads import (
    KEPT_DAYS,
    SUFFIXES,
    ask_import,
    find_import,
    keep_upload,
    path_of,
    refused_path_of,
)
from store.models import AuditEntry, Channel, FileImport

LISTED = 30
PIECE = 1 << 16  # bytes
REASONS_SHOWN = 50
UNDER_WAY = ("waiting", "running")

table, channel = table_of(FileImport), table_of(Channel)


def listed(status: int = 200, **more: Any) -> tuple[str, int]:
    before = before_id()
    newest = select(FileImport).order_by(table.c.id.desc()).limit(LISTED + 1)
    with reading(site.engine) as session:
        found = session.scalars(newest.where(table.c.id < before) if before else newest).all()
    return render_template(
        "console/imports/list.html",
        imports=found[:LISTED],
        more=found[LISTED - 1].id if len(found) > LISTED else None,
        before=before,
        kinds=LAYOUTS,
        endings=",".join(SUFFIXES),
        megabytes=site.upload_max_bytes // 1024**2,
        kept_days=KEPT_DAYS,
        **more,
    ), status


@needs(Role.MARKETER)
def list_imports() -> Any:
    return listed()


@needs(Role.MARKETER)
def upload_file() -> Any:
    given, kind = request.files.get("file"), request.form.get("kind", "")
    if given is None or not given.filename:
        return listed(422, why=translate("請選擇一個檔案。", g.language), kind=kind)
    try:
        with given.stream as content:
            import_id = keep_upload(
                site.engine,
                site.upload_folder,
                kind=kind,
                file_name=given.filename,
                content=content,
                actor=g.user.email,
                now=site.clock(),
            )
    except BadInput as error:
        return listed(422, why=translate("無法執行：{why}", g.language, why=told(error, g.language)), kind=kind)
    return redirect(url_for("console.show_import", import_id=import_id), 303)


upload_file.takes_file = True  # type: ignore[attr-defined]  # the guard lets its body be large


@needs(Role.MARKETER)
def take_template(kind: str) -> Response:
    if kind not in LAYOUTS:
        raise NotFound(f"there is no import of {kind!r}")
    response = Response(template(kind), mimetype="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{kind}.csv"'
    return response


@needs(Role.MARKETER)
def show_import(import_id: int) -> Any:
    with reading(site.engine) as session:
        one = find_import(session, import_id)
        channels = session.scalars(select(Channel).order_by(channel.c.id)).all()
    preview, why = _preview(site, one) if one.state == "uploaded" else (None, None)
    return render_template(
        "console/imports/one.html", one=one, channels=channels, preview=preview, why=why, **_facts(site, one)
    )


@needs(Role.MARKETER)
def show_import_progress(import_id: int) -> Any:
    with reading(site.engine) as session:
        one = find_import(session, import_id)
    if (one.state, str(one.part_done)) == (request.args.get("said"), request.args.get("part")):
        return "", 204  # nothing new: what stands there stays
    page = render_template("console/imports/_progress.html", one=one, **_facts(site, one))
    return page, 200, {} if one.state in UNDER_WAY else {"HX-Refresh": "true"}


@needs(Role.MARKETER)
def begin_import(import_id: int) -> Any:
    try:
        with transaction(site.engine) as session:
            asked = ask_import(
                session, import_id, channel_id=_channel_id(session), actor=g.user.email, now=site.clock()
            )
        if not asked:
            flash(translate("這個檔案已經在匯入了。", g.language))
    except BadInput as error:
        flash(translate("無法執行：{why}", g.language, why=told(error, g.language)), "error")
    return redirect(url_for("console.show_import", import_id=import_id), 303)


@needs(Role.MARKETER)
def take_refused(import_id: int) -> Any:
    with transaction(site.engine) as session:
        one = find_import(session, import_id)
        try:
            file = refused_path_of(site.upload_folder, one).open("rb")
        except FileNotFoundError as error:
            raise NotFound(f"the refused rows of import {import_id} are no longer kept") from error
        detail = {"import_id": one.id, "rows": (one.report or {}).get("refused")}
        session.add(AuditEntry(at=site.clock(), actor=g.user.email, action="export refused rows", detail=detail))
    response = Response(_pieces(file), mimetype="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{one.kind}-{one.id}-refused.csv"'
    return response


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        yield BOM_UTF8  # or Excel takes it for another coding
        while piece := file.read(PIECE):
            yield piece


def _preview(site: Site, one: FileImport) -> tuple[Preview | None, str | None]:
    """(what the file begins with, None), or (None, why it can't be read)."""
    path = path_of(site.upload_folder, one)
    try:
        return peek(path, LAYOUTS[one.kind]), None
    except ExpectedError as error:
        return None, told(str(error).replace(path.name, one.file_name), g.language)


def _facts(site: Site, one: FileImport) -> dict[str, Any]:
    report = one.report or {}
    return {
        "layout": LAYOUTS[one.kind],
        "report": report,
        "reasons": sorted(report.get("refused_by_reason", {}).items(), key=lambda item: -item[1])[:REASONS_SHOWN],
        "has_refused": bool(report.get("refused")) and refused_path_of(site.upload_folder, one).exists(),
        "is_under_way": one.state in UNDER_WAY,
        "kept_days": KEPT_DAYS,
        "file_suffix": Path(one.file_name).suffix.lower(),
    }


def _channel_id(session: Any) -> int | None:
    """The channel that the form names, or the only one. Raises BadInput for one that there isn't."""
    known = list(session.scalars(select(channel.c.id).order_by(channel.c.id)))
    wanted = request.form.get("channel", type=int)
    if wanted is not None and wanted not in known:
        raise BadInput(f"there is no channel {wanted}")
    return wanted if wanted is not None else known[0] if len(known) == 1 else None


ROUTES = (
    get("/import", list_imports),
    post("/import", upload_file),
    get("/import/template/<kind>", take_template),
    get("/import/<int:import_id>", show_import),
    get("/import/<int:import_id>/progress", show_import_progress),
    post("/import/<int:import_id>/begin", begin_import),
    post("/import/<int:import_id>/refused", take_refused),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """/console/import, /console/import/<id>, its progress, its refused rows, and /console/import/template/<kind>."""
    add_routes(blueprint, ROUTES)
