"""A participant of a room whose every layer is aiortc's."""

import asyncio
import itertools

from aiortc import RTCRtpReceiver

from protoo import Protoo
from transport import Transport

CODECS = ("audio/opus", "video/vp8")

#: The feedback that aiortc sends and understands.
FEEDBACK = (("nack", ""), ("nack", "pli"), ("goog-remb", ""))


class Peer:
    """A participant. Tracks and data channels of the others are in the queues `tracks` and `channels`."""

    def __init__(self, name):
        self.name = name
        self.tracks = asyncio.Queue()
        self.channels = asyncio.Queue()
        self._streams = itertools.count()
        self._mids = itertools.count()
        self._left = False

    @classmethod
    async def join(cls, server, room, name):
        """Connects both transports, one as the DTLS client and one as the server, and joins."""
        peer = cls(name)
        peer._protoo = await Protoo.connect(server, room, name.lower(), peer._on_request, lambda *_: None)
        peer._router = await peer._protoo.request("getRouterRtpCapabilities")
        peer.sending = await peer._transport("client", producing=True, consuming=False)
        peer.receiving = await peer._transport("server", producing=False, consuming=True)
        await peer._protoo.request(
            "join",
            {
                "displayName": name,
                "device": {"flag": "aiortc", "name": "aiortc"},
                "rtpCapabilities": capabilities(peer._router),
                "sctpCapabilities": {},
            },
        )
        return peer

    async def produce(self, track):
        """Sends a track: audio as Opus, video as VP8 with retransmissions."""
        wanted = "audio/opus" if track.kind == "audio" else "video/vp8"
        ours = capabilities(self._router)["codecs"]
        codec = next(one for one in ours if one["mimeType"].lower() == wanted)
        payload_type = codec["preferredPayloadType"]
        rtx = next((one for one in ours if one.get("parameters", {}).get("apt") == payload_type), None)

        async def produce(kind, rtp_parameters):
            asked = {"transportId": self.sending.id, "kind": kind, "rtpParameters": rtp_parameters, "appData": {}}
            await self._protoo.request("produce", asked)

        codec = codec | {"payloadType": payload_type}
        rtx_payload_type = rtx and rtx["preferredPayloadType"]
        await self.sending.send(track, codec, rtx_payload_type, str(next(self._mids)), produce)

    async def produce_data(self, label="chat", protocol="", **options):
        """A data channel to everybody. `options` are ordered, maxRetransmits and maxPacketLifeTime."""
        stream = {"streamId": next(self._streams), "ordered": True} | options
        channel = self.sending.channel(stream, label, protocol)
        if channel.readyState != "open":
            opened = asyncio.get_running_loop().create_future()
            channel.once("open", lambda: opened.set_result(None))
            await opened
        await self._protoo.request(
            "produceData",
            {
                "transportId": self.sending.id,
                "sctpStreamParameters": stream,
                "label": label,
                "protocol": protocol,
                "appData": {},
            },
        )
        return channel

    async def leave(self):
        """Closes everything; what has left can leave again."""
        if self._left:
            return
        self._left = True
        await self.sending.stop()
        await self.receiving.stop()
        await self._protoo.close()

    async def _transport(self, dtls_role, **direction):
        asked = {"forceTcp": False, "sctpCapabilities": {}} | direction
        transport = Transport(await self._protoo.request("createWebRtcTransport", asked))

        async def tell_server(dtls_parameters):
            asked = {"transportId": transport.id, "dtlsParameters": dtls_parameters}
            await self._protoo.request("connectWebRtcTransport", asked)

        await transport.connect(dtls_role, tell_server)
        return transport

    async def _on_request(self, method, data):
        if method == "newConsumer":
            track = await self.receiving.receive(data["kind"], data["rtpParameters"])
            await self.tracks.put(track)
        elif method == "newDataConsumer":
            channel = self.receiving.channel(data["sctpStreamParameters"], data["label"], data["protocol"])
            # The channel's messages are stored from the first one on.
            channel.messages = asyncio.Queue()
            channel.on("message", channel.messages.put_nowait)
            await self.channels.put(channel)
        else:
            raise ValueError(f"unknown method {method}")


def capabilities(router):
    """What of the router's capabilities aiortc can do."""
    codecs = [one for one in router["codecs"] if one["mimeType"].lower() in CODECS]
    payload_types = [one["preferredPayloadType"] for one in codecs]
    codecs += [one for one in router["codecs"] if one.get("parameters", {}).get("apt") in payload_types]
    uris = {
        (kind, one.uri)
        for kind in ("audio", "video")
        for one in RTCRtpReceiver.getCapabilities(kind).headerExtensions
    }
    return {
        "codecs": [codec | {"rtcpFeedback": known_feedback(codec)} for codec in codecs],
        "headerExtensions": [one for one in router["headerExtensions"] if (one["kind"], one["uri"]) in uris],
    }


def known_feedback(codec):
    return [one for one in codec.get("rtcpFeedback", []) if (one["type"], one.get("parameter") or "") in FEEDBACK]
