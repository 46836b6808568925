"""The peer of sending: a bare push with line-bot-sdk's synchronous client, no bookkeeping."""

import time
import uuid

from linebot.v3.messaging import ApiClient, Configuration, MessagingApi, PushMessageRequest, TextMessage

from benchmarks.dispatch_line import user_id


def cpu_per_push(port: int, count: int, text: str) -> float:
    """Processor seconds of this process for one push of `text` to LINE at `port`, the mean of `count`."""
    configuration = Configuration(access_token="simulated-access-token", host=f"http://127.0.0.1:{port}")  # noqa: S106
    with ApiClient(configuration) as client:
        api = MessagingApi(client)

        def push(number: int) -> None:
            request = PushMessageRequest(to=user_id(number), messages=[TextMessage(text=text)])
            api.push_message(request, x_line_retry_key=str(uuid.uuid4()))

        push(1)  # connections and imports
        before = time.process_time()
        for number in range(count):
            push(number)
        return (time.process_time() - before) / count
