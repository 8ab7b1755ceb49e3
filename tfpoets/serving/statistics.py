"""What Prometheus reads at /metrics."""
from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Statistics:
    """Counts of one server.

    Args:
        waiting: how many photos are under way.
    """

    def __init__(self, waiting: Callable[[], int]):
        self._registry = CollectorRegistry()
        self._requests = Counter("tfpoets_requests", "Requests by address and status.", ["address", "status"],
                                 registry=self._registry)
        self._seconds = Histogram("tfpoets_request_seconds", "Time from the request to its answer.", ["address"],
                                  registry=self._registry)
        Gauge("tfpoets_photos_waiting", "Photos being answered or waiting for it.",
              registry=self._registry).set_function(waiting)

    def count(self, address: str, status: int, seconds: float) -> None:
        """A request that was answered; `address` is one of few."""
        self._requests.labels(address, str(status)).inc()
        self._seconds.labels(address).observe(seconds)

    def text(self) -> tuple[bytes, int, dict[str, str]]:
        """Body, status and headers of the answer at /metrics."""
        return generate_latest(self._registry), 200, {"Content-Type": CONTENT_TYPE_LATEST}
