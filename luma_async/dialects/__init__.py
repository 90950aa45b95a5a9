"""One server's words, turned into our models and back. Pure: data in, data out."""

from luma_async.dialects.dialect import Dialect, Mark
from luma_async.dialects.fields import JSONObject
from luma_async.dialects.gateway import GatewayDialect

__all__ = ["Dialect", "GatewayDialect", "JSONObject", "Mark"]
