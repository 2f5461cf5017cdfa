"""The daemon's socket: a question in a line, its answer in a line; see `cni_dhcp.client`."""

from __future__ import annotations

import asyncio

from cni import jsontext
from cni.errors import INTERNAL, CniError
from cni.journal import log
from cni.jsonvalue import MAX_DOCUMENT, parse_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from cni.jsonvalue import JsonObject
    from cni_dhcp.daemon.registry import Answer, Registry

_HEARTBEAT_SECONDS = 1.0
_QUESTION_SECONDS = 10.0
_HTTP = (b"CONNECT ", b"GET ", b"POST ")
# What Go's net/rpc shows a user who has the reference's plugin ask this daemon.
_NOT_GO = (
    b"HTTP/1.0 426 this is pycni's dhcp daemon, which takes questions of pycni's dhcp plugin only"
    b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


class Server:
    """Serves plugins at a listening socket."""

    def __init__(self, registry: Registry, listener: socket.socket) -> None:
        self._registry = registry
        self._listener = listener
        self._calls: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to serve; those who have connected before waited."""
        # Not start_unix_server: since Python 3.13 that removes the socket's name in the end, which
        # may be systemd's.
        self._server = await asyncio.start_server(
            self._on_connection, sock=self._listener, limit=MAX_DOCUMENT
        )

    async def stop(self) -> None:
        """Serve no more; calls under way end with an error, and undo what they did."""
        if self._server is not None:
            self._server.close()
        for task in self._calls:
            task.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    async def _on_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._calls.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            pass  # it went away, or said nothing, or what is no line
        finally:
            self._calls.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await asyncio.wait_for(reader.readuntil(b"\n"), _QUESTION_SECONDS)
        if line.startswith(_HTTP):
            writer.write(_NOT_GO)
            await writer.drain()
            return
        try:
            question = parse_object(line, "the question")
        except CniError as error:
            await _tell(writer, _failure(error))
            return
        answering = asyncio.create_task(self._answer(question))
        hung_up = asyncio.create_task(reader.read(1))
        try:
            await self._wait(answering, hung_up, writer, question)
        finally:
            hung_up.cancel()
            if not answering.done():
                answering.cancel()
                await asyncio.gather(answering, return_exceptions=True)

    async def _wait(
        self,
        answering: asyncio.Task[Answer],
        hung_up: asyncio.Task[bytes],
        writer: asyncio.StreamWriter,
        question: JsonObject,
    ) -> None:
        """Tell the answer when it is there, and until then that it is being worked at.

        An ADD whose plugin was killed is undone. What takes away is done to its end.
        """
        is_add = question.string("verb") == "ADD"
        waited_for = {answering, hung_up}
        while not answering.done():
            await asyncio.wait(
                waited_for, timeout=_HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if hung_up.done():
                if is_add and not answering.done():
                    log("the plugin went away", question=question.raw)
                    return
                waited_for.discard(hung_up)
            elif not answering.done():
                writer.write(b"\n")
                await writer.drain()
        await _tell(writer, await answering)

    async def _answer(self, question: JsonObject) -> Answer:
        try:
            return await self._registry.answer(question)
        except CniError as error:
            return _failure(error)
        except asyncio.CancelledError:
            raise
        except Exception as defect:  # noqa: BLE001 - one call's defect is no other lease's end
            import traceback

            log("defect", trace=traceback.format_exc())
            what = f"{type(defect).__name__}: {str(defect)[:200]}"
            return _failure(CniError(INTERNAL, f"the dhcp daemon failed inside: {what}"))


def _failure(error: CniError) -> Answer:
    return {"error": {"code": error.code, "msg": error.msg, "details": error.details}}


async def _tell(writer: asyncio.StreamWriter, answer: Answer) -> None:
    writer.write(jsontext.dumps(answer).encode() + b"\n")
    await writer.drain()
