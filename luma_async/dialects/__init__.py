"""Dialects: convert requests and answers between the models and the format of a server. Pure."""

from luma_async.dialects.account import Credits, Page
from luma_async.dialects.agents import AgentsDialect
from luma_async.dialects.choice import ChosenDialect, ServerChoice, choose_server
from luma_async.dialects.dialect import Dialect, Mark
from luma_async.dialects.dream_machine import DreamMachineDialect
from luma_async.dialects.fields import JSONObject
from luma_async.dialects.gateway import GatewayDialect
from luma_async.dialects.known_apis import DialectName

__all__ = [
    "AgentsDialect",
    "ChosenDialect",
    "Credits",
    "Dialect",
    "DialectName",
    "DreamMachineDialect",
    "GatewayDialect",
    "JSONObject",
    "Mark",
    "Page",
    "ServerChoice",
    "choose_server",
]
