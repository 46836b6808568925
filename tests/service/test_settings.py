"""Settings: what production refuses, and sentences that name the variable."""

from pathlib import Path
from typing import Any

import pytest

from service.settings import DEVELOPMENT_KEY, ChannelSettings, Settings, load_settings
from store.errors import BadInput

STRONG = "0123456789abcdefghijABCDEFGHIJ-_"
FIT: dict[str, Any] = {
    "retarget_env": "production",
    "secret_key": STRONG,
    "line_channel_secret": "f" * 16 + "0" * 16,
    "line_channel_access_token": "token",
    "public_base_url": "https://brand.example/",
}


def settings(**fields: Any) -> Settings:
    return Settings(**{"_env_file": None, **fields})


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def test_a_fit_production_starts() -> None:
    fit = settings(**FIT)
    fit.require_fit()
    assert fit.public_base_url == "https://brand.example"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"secret_key": DEVELOPMENT_KEY}, "SECRET_KEY is not set"),
        ({"secret_key": STRONG[:-1]}, "SECRET_KEY is weak"),
        ({"secret_key": ""}, "SECRET_KEY is weak"),
        ({"secret_key": "ab" * 40}, "SECRET_KEY is weak"),
        ({"line_channel_secret": ""}, "LINE_CHANNEL_SECRET"),
        ({"line_channel_secret": "changeme"}, "LINE_CHANNEL_SECRET"),
        ({"line_channel_secret_previous": "old"}, "LINE_CHANNEL_SECRET"),
        ({"line_channel_access_token": ""}, "LINE_CHANNEL_ACCESS_TOKEN"),
        ({"events_key": "short"}, "EVENTS_KEY is weak"),
        ({"public_base_url": "http://brand.example"}, "PUBLIC_BASE_URL"),
        ({"line_channels": [ChannelSettings(name="second")]}, "'second'"),
    ],
)
def test_production_refuses_what_is_missing_or_weak_and_names_only_that(fields: dict[str, Any], named: str) -> None:
    unfit = settings(**{**FIT, **fields})
    with pytest.raises(BadInput, match=named) as caught:
        unfit.require_fit()
    for weakness in unfit.weaknesses():
        assert named in weakness
    for secret in (STRONG, "changeme", "ab" * 40):
        assert secret not in str(caught.value)


def test_production_names_every_weakness_at_once_and_development_starts_all_the_same() -> None:
    with pytest.raises(BadInput, match=r"SECRET_KEY.*LINE_CHANNEL_SECRET.*ACCESS_TOKEN.*PUBLIC_BASE_URL"):
        settings(retarget_env="production").require_fit()
    settings().require_fit()


def test_secrets_are_not_shown_when_settings_are_printed() -> None:
    assert STRONG not in repr(settings(**FIT))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIMEZONE", "Asia/Taipeh"),
        ("TIMEZONE", "../etc/passwd"),
        ("TIMEZONE", ""),
        ("PORT", "0"),
        ("PORT", "many"),
        ("LEASE_SECONDS", "14"),
        ("RETARGET_ENV", "prod"),
        ("PUBLIC_BASE_URL", "brand.example"),
        ("LINE_API_BASE", "api.line.me"),
        ("PUSH_PER_SECOND", "0"),
    ],
)
def test_a_variable_that_cant_be_read_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadInput, match=name):
        load_settings()


def test_settings_come_from_the_environment_and_the_env_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("PORT=8123\nTIMEZONE=Asia/Tokyo\nWELCOME_TEXT=歡迎\n", encoding="utf-8")
    monkeypatch.setenv("PORT", "8124")
    found = load_settings()
    assert (found.port, found.timezone, found.welcome_text) == (8124, "Asia/Tokyo", "歡迎")


def test_two_secrets_count_while_one_is_being_changed_and_empty_ones_never() -> None:
    assert settings(line_channel_secret="new", line_channel_secret_previous="old").channels[0].secrets == ("new", "old")
    assert settings().channels[0].secrets == ()


def test_channels_of_the_list_replace_an_empty_plain_one_and_join_a_set_one() -> None:
    others = [ChannelSettings(name="a"), ChannelSettings(name="b")]
    assert [c.name for c in settings(line_channels=others).channels] == ["a", "b"]
    joined = settings(line_channels=others, line_channel_access_token="t").channels
    assert [c.name for c in joined] == ["main", "a", "b"]


@pytest.mark.parametrize(
    ("given", "folder"),
    [
        ({"database_url": "sqlite:///data/brand.db"}, "data/brand.db-snapshot"),
        ({"database_url": "sqlite://"}, "retarget-snapshot"),
        ({"database_url": "postgresql://db/brand"}, "retarget-snapshot"),
        ({"database_url": "sqlite:///data/brand.db", "snapshot_dir": "elsewhere"}, "elsewhere"),
    ],
)
def test_the_snapshot_lies_beside_the_database_unless_told_otherwise(given: dict[str, Any], folder: str) -> None:
    assert str(settings(**given).snapshot_folder) == folder
