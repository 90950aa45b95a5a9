"""Dialects: convert requests and answers between the models and the format of a server. Pure."""

from luma_async.dialects.account import Credits, Page
from luma_async.dialects.agents import AgentsDialect
from luma_async.dialects.choice import ChosenDialect, ServerChoice, choose_server
from luma_async.dialects.dialect import Dialect, Mark
from luma_async.dialects.dream_machine import DreamMachineDialect
from luma_async.dialects.fields import JSONObject
from luma_async.dialects.file_calls import (
    FileCalls,
    FilePurpose,
    PresignedUpload,
    StoredFile,
    StoredState,
)
from luma_async.dialects.gateway import GatewayDialect
from luma_async.dialects.known_apis import DialectName
from luma_async.dialects.no_account_calls import NoAccountCalls
from luma_async.transport.call import Body, Call

__all__ = [
    "AgentsDialect",
    "Body",
    "Call",
    "ChosenDialect",
    "Credits",
    "Dialect",
    "DialectName",
    "DreamMachineDialect",
    "FileCalls",
    "FilePurpose",
    "GatewayDialect",
    "JSONObject",
    "Mark",
    "NoAccountCalls",
    "Page",
    "PresignedUpload",
    "ServerChoice",
    "StoredFile",
    "StoredState",
    "choose_server",
]
