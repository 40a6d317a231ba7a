"""Metrics for Prometheus, under the names of text-embeddings-inference where the meaning is equal."""

from __future__ import annotations

import re

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
TOKENS = (16, 64, 256, 512, 1024, 2048, 4096, 8192, 16384)


class Metrics:
    """The counters of one server; each server has a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = self._counter("te_request_count", "Requests.", ["method"])
        self.answered = self._counter("te_request_success", "Requests answered with 200.", ["method"])
        self.failures = self._counter("te_request_failure", "Requests answered with an error.", ["err"])
        self.duration = self._histogram("te_request_duration", "Seconds from request to reply.", SECONDS)
        self.queue_duration = self._histogram("te_request_queue_duration", "Seconds until tokenization.", SECONDS)
        self.tokenize_duration = self._histogram("te_request_tokenization_duration", "Seconds of tokenizing.", SECONDS)
        self.compute_duration = self._histogram("te_request_inference_duration", "Seconds of computing.", SECONDS)
        self.texts = self._counter("te_embed_count", "Texts computed.", [])
        self.batch_texts = self._histogram("te_batch_next_size", "Texts of a batch.", COUNTS)
        self.batch_tokens = self._histogram("te_batch_next_tokens", "Tokens of a batch.", TOKENS)
        self.queue_requests = self._gauge("te_queue_size", "Requests in the queue, those being computed included.")
        self.queue_tokens = self._gauge("instructor_queue_tokens", "Tokens in the queue, estimated.")
        self.tokens = self._counter("instructor_tokens", "Tokens computed.", [])
        self.truncated = self._counter("instructor_truncated_texts", "Texts that were truncated.", [])
        self.bare = self._counter("instructor_bare_texts", "Texts encoded without an instruction.", [])
        self.refused = self._counter("instructor_refused_requests", "Requests refused at once with 429.", [])
        self.expired = self._counter("instructor_expired_requests", "Requests that waited too long: 429.", [])
        self.dropped = self._counter("instructor_dropped_requests", "Requests whose client left before the reply.", [])
        self.busy_seconds = self._counter("instructor_busy_seconds", "Seconds in which the backend computed.", [])

    def batch(self, texts: int, tokens: int, seconds: float) -> None:
        """Count a batch that was computed."""
        self.batch_texts.observe(texts)
        self.batch_tokens.observe(tokens)
        self.texts.inc(texts)
        self.tokens.inc(tokens)
        self.busy_seconds.inc(seconds)

    def page(self) -> tuple[bytes, str]:
        """Return the metrics as text and its content type."""
        text = prometheus_client.generate_latest(self.registry)
        # text-embeddings-inference names its counters without the suffix
        text = re.sub(rb"(?m)^((?:# (?:HELP|TYPE) )?te_\w+)_total\b", rb"\1", text)
        return text, prometheus_client.CONTENT_TYPE_LATEST

    def _counter(self, name: str, help: str, labels: list[str]) -> Counter:
        return Counter(name, help, labels, registry=self.registry)

    def _gauge(self, name: str, help: str) -> Gauge:
        return Gauge(name, help, registry=self.registry)

    def _histogram(self, name: str, help: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, help, buckets=buckets, registry=self.registry)
