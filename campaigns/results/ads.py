"""Audiences for ads: files that Meta, Google and LINE take, of those who consented to it. Each is audited.

What is matched by leaves the house only as SHA-256 of a normalised value, as each platform documents it (Meta, "How to
format a customer list"; Google, "Format user data" and "Format your customer data file"). LINE takes its own user ids
("Create audience for uploading user IDs (by file)").
"""

import csv
import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import phonenumbers
from sqlalchemy import Engine, func, select
from sqlmodel import Session

from campaigns.audience.asked import AskedAudience, ask_audience
from campaigns.audience.target import Audience
from campaigns.results.table_file import whole_file
from campaigns.settings import CampaignSettings, read_settings
from store.clock import Clock
from store.engine import reading, table_of, transaction
from store.errors import BadInput
from store.models import AuditEntry, Customer, LineAccount

PAGE = 5_000  # customers looked at at once
META = ("email", "phone", "fn", "ln", "country")
GOOGLE = ("Email", "Phone", "First Name", "Last Name", "Country", "Zip")
_YES = (True, 1, "1", "yes", "y", "true", "是", "同意")
_COMPOUND = frozenset(
    ["歐陽", "司馬", "諸葛", "上官", "司徒", "張簡", "范姜", "東方", "皇甫", "尉遲", "夏侯", "令狐", "端木", "公孫"]
)  # of two
_HAN = re.compile(r"[\u3400-\u9fff]{2,4}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")

customer, account = table_of(Customer), table_of(LineAccount)


def export_ads(
    engine: Engine,
    audience: Audience,
    path: Path,
    *,
    platform: str,
    channel_id: int,
    actor: str,
    zone: ZoneInfo,
    clock: Clock,
) -> tuple[int, int]:
    """Write those of `audience` who may be shown ads to `path`; returns (people written, people left out).

    Left out is who refused marketing, who has not consented (`ads_consent` of the brand's settings names the attribute
    that says so), and who has nothing to be matched by. `platform` is meta, google or line; LINE's file has the ids of
    `channel_id`, of those who follow it. Raises BadInput, UnknownTarget, RuleError.
    """
    rows: dict[str, Callable[[Any, CampaignSettings], Sequence[str] | None]]
    rows = {"meta": _meta, "google": _google, "line": _line}
    heads: dict[str, Sequence[str]] = {"meta": META, "google": GOOGLE, "line": ()}
    if platform not in rows:
        raise BadInput(f"{platform!r} is none of {', '.join(rows)}")
    with reading(engine) as session:
        settings = consent_settings(session)
    asked = ask_audience(engine, audience, zone=zone, clock=clock)
    with transaction(engine) as session:
        detail: dict[str, Any] = {"audience": str(audience), "platform": platform}
        session.add(AuditEntry(at=clock(), actor=actor, action="export ad audience", detail=detail))
    written = left_out = 0
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if heads[platform]:
            writer.writerow(heads[platform])
        for person in people_of(engine, asked, channel_id):
            row = rows[platform](person, settings) if may_be_shown_ads(person, settings) else None
            if row is None:
                left_out += 1
            else:
                writer.writerow(row)
                written += 1
    return written, left_out


def consent_settings(session: Session) -> CampaignSettings:
    """The brand's settings. Raises BadInput where they don't say what consent to ads is."""
    settings = read_settings(session)
    if settings.ads_consent is None:
        raise BadInput("say first which attribute of customers holds their consent to ads: setting ads_consent")
    return settings


def people_of(engine: Engine, audience: AskedAudience, channel_id: int) -> Iterator[Any]:
    """Everybody in an audience by id, page by page: id, name, attributes, marketing_refused_at, and line_user_id on the
    channel, None unless it follows."""
    after = 0
    while True:
        with reading(engine) as session:
            page = select(customer.c.id).where(customer.c.id > after).order_by(customer.c.id).limit(PAGE)
            last = session.scalar(select(func.max(page.subquery().c.id)))
            if last is None:
                return
            followed = (
                select(account.c.line_user_id)
                .where(
                    account.c.customer_id == customer.c.id,
                    account.c.channel_id == channel_id,
                    account.c.is_following.is_not(False),
                )
                .order_by(account.c.id.desc())
                .limit(1)
                .correlate(customer)
                .scalar_subquery()
            )
            names = ("id", "name", "attributes", "marketing_refused_at")
            rows = session.execute(
                select(*(customer.c[name] for name in names), followed.label("line_user_id"))
                .where(audience.condition(after, last))
                .order_by(customer.c.id)
            ).all()
        yield from rows
        after = last


def may_be_shown_ads(person: Any, settings: CampaignSettings) -> bool:
    """Whether somebody consented to ads and hasn't refused marketing."""
    said = (person.attributes or {}).get(settings.ads_consent)
    said = said.strip().lower() if isinstance(said, str) else said
    return person.marketing_refused_at is None and any(said is yes or said == yes for yes in _YES)


def _meta(person: Any, settings: CampaignSettings) -> Sequence[str] | None:
    attributes = person.attributes or {}
    email = normal_email(attributes.get(settings.ads_email))
    phone = normal_phone(attributes.get(settings.ads_phone), settings.country)
    if email is None and phone is None:
        return None
    first, last = names_of(person.name, attributes)
    found = (email, phone and phone.removeprefix("+"), _letters(first), _letters(last), settings.country.lower())
    return [_hashed(value) for value in found]


def _google(person: Any, settings: CampaignSettings) -> Sequence[str] | None:
    attributes = person.attributes or {}
    email = without_gmail_marks(normal_email(attributes.get(settings.ads_email)))
    phone = normal_phone(attributes.get(settings.ads_phone), settings.country)
    if email is None and phone is None:
        return None
    first, last = names_of(person.name, attributes)
    zip_code = str(attributes.get(settings.ads_zip) or "").strip()
    address = [_hashed(first), _hashed(last), settings.country, zip_code]  # country and zip are not hashed
    return [_hashed(email), _hashed(phone), *(address if first and last and zip_code else ["", "", "", ""])]


def _line(person: Any, settings: CampaignSettings) -> Sequence[str] | None:
    return None if person.line_user_id is None else [person.line_user_id]


def normal_email(given: Any) -> str | None:
    """Lowercase, without any blank; None for what is no address."""
    email = re.sub(r"\s", "", unicodedata.normalize("NFKC", str(given or ""))).lower()
    return email if _EMAIL.fullmatch(email) else None


def without_gmail_marks(email: str | None) -> str | None:
    """Google's further rule: of its own addresses neither dots nor what follows a plus count."""
    if email is None:
        return None
    local, _, domain = email.partition("@")
    return (
        f"{local.partition('+')[0].replace('.', '')}@{domain}" if domain in ("gmail.com", "googlemail.com") else email
    )


def normal_phone(given: Any, country: str) -> str | None:
    """E.164, with its plus; a number without a country code is read as one of `country`. None for what is no number."""
    try:
        number = phonenumbers.parse(unicodedata.normalize("NFKC", str(given or "")), country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def names_of(name: str | None, attributes: Mapping[str, Any]) -> tuple[str, str]:
    """(First name, last name), lowercase; empty where they can't be told. Attributes `first_name` and `last_name` come
    before the name; of a Chinese name the family comes first, of others last."""
    first, last = (str(attributes.get(key) or "") for key in ("first_name", "last_name"))
    whole = unicodedata.normalize("NFKC", name or "").strip()
    if not first and not last and _HAN.fullmatch(whole):
        family = 2 if whole[:2] in _COMPOUND and len(whole) > 2 else 1
        first, last = whole[family:], whole[:family]
    elif not first and not last and " " in whole:
        first, last = whole.split()[0], whole.split()[-1]
    return first.strip().lower(), last.strip().lower()


def _letters(name: str) -> str:
    """Meta's form of a name: no punctuation, no blanks."""
    return "".join(character for character in name if unicodedata.category(character)[0] in "LM")


def _hashed(value: str | None) -> str:
    return hashlib.sha256(value.encode()).hexdigest() if value else ""
