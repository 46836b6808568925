"""Taps at a steady rate: `… -m benchmarks.click_load PORT RATE COUNT LINK RUN`.

Each tap is another customer's, so each can be looked for in the database. Prints one line of JSON: the customers of
those answered 302, p50 and p99 in ms, and taps answered per second.
"""

import json
import sys
import time

import uvloop

from benchmarks.click_apps import KEY
from benchmarks.steady_load import percentile_ms, steady
from campaigns.links.tokens import TokenSigner

FIRST_CUSTOMER = 1
AGENT = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/120 Mobile Safari/537.36 Line/14.9.0/IAB"


def main(port: int, rate: float, count: int, link_id: int, run_id: int) -> dict[str, object]:
    """Tap, and report."""
    signer = TokenSigner(KEY)
    requests = [
        f"GET /r/{signer.sign(link_id, run_id, n)} HTTP/1.1\r\nHost: b\r\nUser-Agent: {AGENT}\r\n\r\n".encode()
        for n in range(FIRST_CUSTOMER, FIRST_CUSTOMER + count)
    ]
    begun = time.perf_counter()
    answers = uvloop.run(steady(port, rate, requests))
    lasted = time.perf_counter() - begun
    return {
        "stored": [FIRST_CUSTOMER + answer.number for answer in answers if answer.status == 302],
        "p50_ms": percentile_ms(answers, 0.5),
        "p99_ms": percentile_ms(answers, 0.99),
        "per_second": len(answers) / lasted,
    }


if __name__ == "__main__":
    port, rate, count, link_id, run_id = sys.argv[1:]
    sys.stdout.write(json.dumps(main(int(port), float(rate), int(count), int(link_id), int(run_id))) + "\n")
