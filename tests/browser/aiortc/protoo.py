"""The signalling of a room: protoo messages over a WebSocket."""

import asyncio
import itertools
import json
import ssl
from urllib.parse import urlencode, urlsplit

from websockets.asyncio.client import connect

MAX_MESSAGE = 960_000


class Protoo:
    """One connection to a room. Requests of the server go to `on_request`, whose return is the answer."""

    def __init__(self, socket, on_request, on_notification):
        self._socket = socket
        self._on_request = on_request
        self._on_notification = on_notification
        self._ids = itertools.count(1)
        self._answers = {}
        self._tasks = {asyncio.ensure_future(self._read())}

    @classmethod
    async def connect(cls, server, room, peer, on_request, on_notification):
        """Connects as `peer` to `room` of the server at the HTTPS address `server`."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # The server under test has a certificate of its own.
        query = urlencode({"roomId": room, "peerId": peer})
        url = f"wss://{urlsplit(server).netloc}/?{query}"
        socket = await connect(url, subprotocols=["protoo"], ssl=context, max_size=MAX_MESSAGE, proxy=None)
        return cls(socket, on_request, on_notification)

    async def request(self, method, data=None):
        """Asks the server; its answer's data. Raises RuntimeError when it refuses."""
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._send({"request": True, "id": number, "method": method, "data": data or {}})
        message = await answer
        if not message.get("ok"):
            raise RuntimeError(f"{method}: {message.get('errorCode')} {message.get('errorReason')}")
        return message.get("data", {})

    async def close(self):
        await self._socket.close()
        for task in self._tasks:
            task.cancel()

    async def _send(self, message):
        await self._socket.send(json.dumps(message))

    async def _read(self):
        async for text in self._socket:
            message = json.loads(text)
            if message.get("response"):
                self._answers.pop(message["id"]).set_result(message)
            elif message.get("notification"):
                self._on_notification(message["method"], message.get("data", {}))
            else:
                # Handling a request can wait for media, which must not delay responses and notifications.
                task = asyncio.ensure_future(self._answer(message))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        for answer in self._answers.values():
            answer.set_exception(ConnectionError("the server has closed the connection"))

    async def _answer(self, message):
        answer = {"response": True, "id": message["id"], "ok": True, "data": {}}
        try:
            await self._on_request(message["method"], message["data"])
        except Exception as error:
            answer = {"response": True, "id": message["id"], "errorCode": 500, "errorReason": repr(error)}
        await self._send(answer)
