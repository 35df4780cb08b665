"""The services that other people's tools expect beside the chat: health and reflection.

Each where its package is installed. Called in the event loop.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc

from chat.server.status import bounded_abort


class StandardServices:
    """Health (grpc.health.v1) for the server as a whole and for each of `services`; reflection.

    A Watch of an unknown service ends with NOT_FOUND, as Check does, instead of waiting for it to
    come: else each name that somebody makes up would be kept for as long as the call lasts.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._services = tuple(services)
        self._names = ("", *self._services)
        self._health = _make_health(self._names)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Let a server that is not started yet offer them; all that do are as healthy."""
        if self._health is not None:
            from grpc_health.v1 import health_pb2_grpc

            health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        _add_reflection(server, self._services)

    async def set_serving(self, is_serving: bool) -> None:
        """Say that every service is SERVING, or that none is for now."""
        if self._health is not None:
            from grpc_health.v1 import health_pb2

            states = health_pb2.HealthCheckResponse
            for name in self._names:
                await self._health.set(name, states.SERVING if is_serving else states.NOT_SERVING)

    async def stop(self) -> None:
        """Say that none is, from now on and for ever."""
        if self._health is not None:
            await self._health.enter_graceful_shutdown()


def _make_health(names: tuple[str, ...]) -> Any:
    try:
        from grpc_health.v1 import health
    except ImportError:
        return None

    class Health(health.aio.HealthServicer):
        async def Watch(self, request: Any, context: Any) -> None:
            """Tell the state of a service, and each change of it, until the caller goes."""
            if request.service not in names:
                await bounded_abort(context, grpc.StatusCode.NOT_FOUND, "unknown service")
            await super().Watch(request, context)

    return Health()


def _add_reflection(server: grpc.aio.Server, services: tuple[str, ...]) -> None:
    try:
        from grpc_health.v1 import health
        from grpc_reflection.v1alpha import reflection
    except ImportError:
        return
    names = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
