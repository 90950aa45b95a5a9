"""An OpenTelemetry SDK whose spans and metrics stay in memory, for one test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.metrics import _internal as metrics_state
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._once import Once


class Exported:
    """The spans and metrics that have arrived."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)

    def install(self) -> None:
        """Make them the providers of the process, as a program does at its start."""
        trace.set_tracer_provider(self.tracers)
        metrics.set_meter_provider(self.meters)

    @property
    def spans(self) -> list[ReadableSpan]:
        """All spans of the library that have ended, in that order."""
        every = self._exporter.get_finished_spans()
        return [span for span in every if _scope(span) == "luma_async"]

    def jobs(self) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name.startswith("luma ")]

    def requests(self, kind: str) -> list[ReadableSpan]:
        return [span for span in self.spans if attributes(span).get("luma.request.kind") == kind]

    def metrics(self) -> dict[str, list[Any]]:
        """Return the data points of each metric by its name."""
        return {each.name: list(each.data.data_points) for each in self.instruments()}

    def instruments(self) -> list[Any]:
        data = self._reader.get_metrics_data()
        return [
            metric
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            if scope.scope.name == "luma_async"
            for metric in scope.metrics
        ]


def _scope(span: ReadableSpan) -> str | None:
    return None if span.instrumentation_scope is None else span.instrumentation_scope.name


def attributes(span: Any) -> dict[str, Any]:
    return dict(span.attributes or {})


def events(span: ReadableSpan, name: str) -> list[dict[str, Any]]:
    return [dict(event.attributes or {}) for event in span.events if event.name == name]


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[Exported]:
    """Return an SDK that is not set up yet. The process has none before and after the test."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
    monkeypatch.setattr(metrics_state, "_METER_PROVIDER", None)
    monkeypatch.setattr(metrics_state, "_METER_PROVIDER_SET_ONCE", Once())
    monkeypatch.setattr(metrics_state, "_PROXY_METER_PROVIDER", metrics_state._ProxyMeterProvider())
    found = Exported()
    yield found
    found.tracers.shutdown()
    found.meters.shutdown()
