"""Make a video, and see its span. The program sets up the SDK, as the page on telemetry says."""

from __future__ import annotations

import asyncio

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from luma_async import LumaClient


async def main() -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)
    async with LumaClient() as luma:
        await luma.run("a cat dances", download="traced.mp4")
    names = {span.name for span in spans.get_finished_spans()}
    assert {"luma generate", "GET", "POST"} <= names, names


asyncio.run(main())
