"""From settings to sinks. What cannot work is told before anything is started."""

from __future__ import annotations

from gateway.errors import GatewayError
from gateway.exports.collector import HttpsOut, OtlpOut
from gateway.exports.files import FileOut
from gateway.exports.sink import Out
from gateway.exports.syslog import SyslogOut
from gateway.otlp import client_context
from gateway.outgoing import AnySink, FileSink, OtlpSink, SyslogSink
from gateway.posting import post_to


def open_sink(settings: AnySink) -> Out:
    """The sink, not connected yet. Raises `GatewayError("configuration-invalid")`."""
    if isinstance(settings, FileSink):
        if not settings.path.parent.is_dir():
            raise GatewayError("configuration-invalid", f"the directory `{settings.path.parent}` does not exist")
        return FileOut(settings.path, settings.rotate, settings.keep)
    if isinstance(settings, SyslogSink):
        context = None
        if settings.tls != "off":
            context = client_context(settings.ca, settings.certificate, settings.key)
        return SyslogOut(
            settings.host, settings.port, context, settings.facility, settings.enterprise, settings.timeout
        )
    return (OtlpOut if isinstance(settings, OtlpSink) else HttpsOut)(post_to(settings, settings.url))
