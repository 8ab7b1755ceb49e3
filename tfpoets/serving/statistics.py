"""Metrics of the server for Prometheus."""
from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Statistics:
    """Counters and response times of one server.

    Args:
        count_pending: Returns the number of photos that are being classified or waiting for a worker.
    """

    def __init__(self, count_pending: Callable[[], int]):
        self._registry = CollectorRegistry()
        self._requests = Counter("tfpoets_requests", "Requests by route and status.", ["address", "status"],
                                 registry=self._registry)
        self._seconds = Histogram("tfpoets_request_seconds", "Time from a request to its response.", ["address"],
                                  registry=self._registry)
        Gauge("tfpoets_photos_waiting", "Photos being classified or waiting for a worker.",
              registry=self._registry).set_function(count_pending)

    def record(self, route: str, status: int, seconds: float) -> None:
        """Record a response.

        Args:
            route: The URL rule, such as "/v1/models/<model>". Only a few different ones are allowed, because
                Prometheus keeps a time series for each.
            status: The HTTP status.
            seconds: The time from the request to the response.
        """
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def render(self) -> tuple[bytes, int, dict[str, str]]:
        """Return the body, status and headers of the response to /metrics."""
        return generate_latest(self._registry), 200, {"Content-Type": CONTENT_TYPE_LATEST}
