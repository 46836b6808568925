"""Calling line-bot-sdk: its three packages configured alike, and their many errors made into our one."""

from typing import Any

import urllib3
from linebot.v3 import audience, insight, messaging
from pydantic.v1 import ValidationError as SdkValidationError

from bot.line.answers import LineError, error_words

KEPT_CONNECTIONS = 32  # as many as replies.py calls at once: the SDK throws away those beyond
_REFUSALS = (messaging.ApiException, audience.ApiException, insight.ApiException)


def client(package: Any, api_base: str, access_token: str) -> Any:
    """An ApiClient of one of the SDK's packages (`linebot.v3.messaging`, …) that keeps its connections.

    Raises LineError without a token.
    """
    if not access_token:
        raise LineError("LINE_CHANNEL_ACCESS_TOKEN is not set for this channel", may_try_again=False, in_doubt=False)
    configuration = package.Configuration(access_token=access_token, host=api_base)
    configuration.connection_pool_maxsize = KEPT_CONNECTIONS
    configuration.retries = False  # we repeat ourselves, and only what may be repeated
    return package.ApiClient(configuration)


def call(name: str, method: Any, *arguments: Any, timeout: float, **named: Any) -> Any:
    """Call a method of the SDK, which waits at most `timeout` seconds. Raises LineError for whatever LINE or the
    network does; `name` is what its sentence calls it."""
    try:
        return method(*arguments, **named, _request_timeout=timeout)
    except _REFUSALS as error:
        status = int(error.status or 0)
        words = error_words(error.body.encode() if isinstance(error.body, str) else error.body)
        raise LineError(
            f"LINE refused {name} with status {status}: {words}",
            status=status,
            may_try_again=status == 429 or status >= 500,
            in_doubt=status >= 500,
        ) from error
    except urllib3.exceptions.NewConnectionError as error:
        raise LineError(f"LINE could not be reached for {name}", may_try_again=True, in_doubt=False) from error
    except urllib3.exceptions.HTTPError as error:
        raise LineError(
            f"the connection to LINE broke during {name}: {type(error).__name__}", may_try_again=True, in_doubt=True
        ) from error
    except SdkValidationError as error:
        # The SDK also raises this for a 2xx body it can't read: then LINE has acted.
        raise LineError(
            f"LINE's answer to {name} could not be read", status=200, may_try_again=False, in_doubt=False
        ) from error
