"""Services: an object that runs in a thread or process, asked for calls by clients."""

from rl.core.services.backends import SERVICE_BACKENDS, load_service_backend
from rl.core.services.base import Service, ServiceBackend, ServiceCalls
from rl.core.services.client import ServiceClient
from rl.core.services.defaults import (
    default_service_backend,
    default_transport,
    service_backend,
    transport_backend,
)
from rl.core.services.directory import LocalServices, ServiceBase, get_services
from rl.core.services.process import ProcessService
from rl.core.services.thread import ThreadService
from rl.core.services.wire import MessageError

SERVICE_BACKENDS.register("thread", ThreadService)
SERVICE_BACKENDS.register("process", ProcessService)

__all__ = [
    "SERVICE_BACKENDS",
    "LocalServices",
    "MessageError",
    "ProcessService",
    "Service",
    "ServiceBackend",
    "ServiceBase",
    "ServiceCalls",
    "ServiceClient",
    "ThreadService",
    "default_service_backend",
    "default_transport",
    "get_services",
    "load_service_backend",
    "service_backend",
    "transport_backend",
]
