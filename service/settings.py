"""Every setting of the service, read once from the environment and `.env`. The README's table has the same rows."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, Field, SecretStr, StringConstraints, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url

from store.errors import BadInput

DEVELOPMENT_KEY = "development-only-not-a-secret"
MIN_SECRET_KEY = 32  # characters
MIN_CHANNEL_SECRET = 16  # LINE issues 32 hex digits; shorter is a placeholder


class ChannelSettings(BaseModel):
    """What one LINE Official Account needs."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")] = "main"
    secret: SecretStr = SecretStr("")
    secret_previous: SecretStr = SecretStr("")
    access_token: SecretStr = SecretStr("")

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets that a webhook signature may be made with; empty ones never count."""
        return tuple(s for s in (self.secret.get_secret_value(), self.secret_previous.get_secret_value()) if s)


class Settings(BaseSettings):
    """Field names in capitals are the names of the environment variables."""

    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True)

    retarget_env: Literal["development", "production"] = "development"
    database_url: str = "sqlite:///retarget.db"
    secret_key: SecretStr = SecretStr(DEVELOPMENT_KEY)
    timezone: str = "Asia/Taipei"
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{3}$", to_upper=True)] = "TWD"

    line_channel_name: str = "main"
    line_channel_secret: SecretStr = SecretStr("")
    line_channel_secret_previous: SecretStr = SecretStr("")
    line_channel_access_token: SecretStr = SecretStr("")
    line_channels: list[ChannelSettings] = []
    line_api_base: str = "https://api.line.me"
    line_timeout_seconds: Annotated[float, Field(gt=0)] = 10.0

    liff_id: Annotated[str, Field(pattern=r"^(\d+-[A-Za-z0-9]+)?$")] = ""
    liff_links: Literal["multicast", "all"] = "multicast"
    line_login_channel_id: Annotated[str, Field(pattern=r"^\d*$")] = ""

    public_base_url: str = "http://127.0.0.1:8000"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    web_workers: Annotated[int, Field(ge=1)] = 1
    web_threads: Annotated[int, Field(ge=1)] = 32
    max_body_bytes: Annotated[int, Field(ge=1024)] = 2 * 1024 * 1024

    trusted_proxies: Annotated[int, Field(ge=0, le=10)] = 0

    events_key: SecretStr = SecretStr("")

    push_per_second: Annotated[float, Field(gt=0)] = 1970.0
    multicast_per_second: Annotated[float, Field(gt=0)] = 197.0
    send_connections: Annotated[int, Field(ge=1)] = 512
    lease_seconds: Annotated[float, Field(ge=2, le=13)] = 10.0

    purchase_cycle_days: Annotated[int, Field(ge=1)] = 30
    segment_look_back_days: int | None = None
    snapshot_dir: Path | None = None
    upload_dir: Path | None = None
    upload_max_bytes: Annotated[int, Field(ge=1024)] = 2 * 1024**3
    segment_engine: Annotated[str, Field(pattern=r"^(duckdb|spark://\S+)$")] = "duckdb"
    segment_at_hour: Annotated[int, Field(ge=0, le=23)] = 3
    conversion_days: Annotated[int, Field(ge=1)] = 7

    welcome_text: str = "歡迎加入！想停止收到行銷訊息，隨時傳「取消」給我們即可。"
    refused_text: str = "好的，我們不會再傳行銷訊息給您。想恢復時請傳「訂閱」。"
    resumed_text: str = "已恢復通知，謝謝您！想停止時請傳「取消」。"

    copy_model_url: Annotated[str, Field(pattern=r"^(https?://\S+)?$")] = ""
    copy_model_key: SecretStr = SecretStr("")
    copy_model_name: str = ""
    copy_model_timeout_seconds: Annotated[float, Field(gt=0)] = 30.0

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_json: bool = False

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{value!r} is not an IANA time zone such as Asia/Taipei") from error
        return value

    @field_validator("public_base_url", "line_api_base")
    @classmethod
    def _no_slash_at_end(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value.rstrip("/")

    @cached_property
    def zone(self) -> ZoneInfo:
        """The brand's time zone."""
        return ZoneInfo(self.timezone)

    @property
    def spark_master(self) -> str | None:
        """The Spark cluster that computes everybody's segments; None: DuckDB, here."""
        return None if self.segment_engine == "duckdb" else self.segment_engine

    @cached_property
    def channels(self) -> tuple[ChannelSettings, ...]:
        """All channels: the one of the plain LINE_CHANNEL_… variables first, then those of LINE_CHANNELS."""
        first = ChannelSettings(
            name=self.line_channel_name,
            secret=self.line_channel_secret,
            secret_previous=self.line_channel_secret_previous,
            access_token=self.line_channel_access_token,
        )
        others = [c for c in self.line_channels if c.name != first.name]
        if self.line_channels and not first.secrets and not first.access_token.get_secret_value():
            return tuple(self.line_channels)
        return (first, *others)

    @cached_property
    def segment_defaults(self) -> dict[str, int | None]:
        """What segments are computed by where the brand has chosen nothing (segmentation/settings.py)."""
        return {"cycle": self.purchase_cycle_days, "look_back_days": self.segment_look_back_days}

    @cached_property
    def snapshot_folder(self) -> Path:
        """Where the Parquet snapshot of the facts lies: beside SQLite's file unless SNAPSHOT_DIR says otherwise."""
        return self.snapshot_dir or self._beside_database("snapshot")

    @cached_property
    def upload_folder(self) -> Path:
        """Where files handed in at the console wait for the worker: beside SQLite's file, or UPLOAD_DIR."""
        return self.upload_dir or self._beside_database("uploads")

    def _beside_database(self, name: str) -> Path:
        url = make_url(self.database_url)
        is_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
        return Path(f"{url.database}-{name}") if is_file else Path(f"retarget-{name}")

    def weaknesses(self) -> list[str]:
        """One sentence for each secret that is missing or weak; empty when fit for production."""
        found = []
        key = self.secret_key.get_secret_value()
        if key == DEVELOPMENT_KEY:
            found.append("SECRET_KEY is not set")
        elif len(key) < MIN_SECRET_KEY or len(set(key)) < 8:
            found.append(f"SECRET_KEY is weak: use at least {MIN_SECRET_KEY} random characters")
        for channel in self.channels:
            if not channel.secrets:
                found.append(f"LINE_CHANNEL_SECRET of channel {channel.name!r} is not set")
            elif any(len(s) < MIN_CHANNEL_SECRET for s in channel.secrets):
                found.append(f"LINE_CHANNEL_SECRET of channel {channel.name!r} is too short to be LINE's")
            if not channel.access_token.get_secret_value():
                found.append(f"LINE_CHANNEL_ACCESS_TOKEN of channel {channel.name!r} is not set")
        events_key = self.events_key.get_secret_value()
        if events_key and (len(events_key) < MIN_SECRET_KEY or len(set(events_key)) < 8):
            found.append(f"EVENTS_KEY is weak: use at least {MIN_SECRET_KEY} random characters")
        if self.copy_model_url and not self.copy_model_name:
            found.append("COPY_MODEL_NAME is not set: COPY_MODEL_URL needs to know which model writes")
        if bool(self.liff_id) != bool(self.line_login_channel_id):
            found.append("LIFF_ID and LINE_LOGIN_CHANNEL_ID belong together: set both or neither")
        if not self.public_base_url.startswith("https://"):
            found.append("PUBLIC_BASE_URL must be https:// (LINE opens nothing else)")
        return found

    def require_fit(self) -> None:
        """Raise BadInput in production when a secret is missing or weak, naming each one."""
        if self.retarget_env == "production" and (found := self.weaknesses()):
            raise BadInput("refusing to start in production: " + "; ".join(found))


def load_settings() -> Settings:
    """Settings from the environment and `.env`. Raises BadInput naming the variable that can't be read."""
    try:
        return Settings()
    except ValidationError as error:
        parts = [f"{'.'.join(str(p) for p in e['loc']).upper()}: {e['msg']}" for e in error.errors()]
        raise BadInput("the settings can't be read: " + "; ".join(parts)) from error
