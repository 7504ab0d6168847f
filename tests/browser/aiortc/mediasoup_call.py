"""Two clients of pymediasoup as it comes from PyPI, a caller and a callee: python mediasoup_call.py SERVER ROOM

The caller sends a tone, a moving picture and messages, the callee gets them. It prints a line of JSON for each thing that has come,
`{"what": "video", "frames"}`, `{"what": "audio", "frames"}`, `{"what": "data", "text"}`, then `{"what": "stats", "types"}`
with the types of the statistics that the server tells, and ends.
"""

import asyncio
import json
import sys

from pymediasoup import AiortcHandler, Device
from pymediasoup.models.transport import DtlsParameters, IceCandidate, IceParameters
from pymediasoup.rtp_parameters import RtpCapabilities, RtpParameters
from pymediasoup.sctp_parameters import SctpParameters, SctpStreamParameters

from call import Ball, Tone
from protoo import Protoo

#: How much counts as received.
FRAMES = 20


def plain(model):
    """As its users write it: with a null for each thing that has no value."""
    return model.model_dump()


class Client:
    """One participant, with a transport for each direction."""

    def __init__(self, tracks):
        self.tracks = tracks
        self.got = asyncio.Queue()
        self.consumers = []

    async def join(self, server, room, name):
        self.protoo = await Protoo.connect(server, room, name, self.on_request, lambda method, data: None)
        self.device = Device(handlerFactory=AiortcHandler.createFactory(tracks=self.tracks))
        capabilities = await self.protoo.request("getRouterRtpCapabilities")
        await self.device.load(RtpCapabilities(**capabilities))
        self.sending = await self.transport(producing=True)
        self.receiving = await self.transport(producing=False)
        join = {
            "displayName": name,
            "device": {"flag": "pymediasoup", "name": "pymediasoup", "version": "1"},
            "rtpCapabilities": plain(self.device.recvRtpCapabilities),
            "sctpCapabilities": plain(self.device.sctpCapabilities),
        }
        await self.protoo.request("join", join)

    async def transport(self, producing):
        asked = {
            "forceTcp": False,
            "producing": producing,
            "consuming": not producing,
            "sctpCapabilities": plain(self.device.sctpCapabilities),
        }
        made = await self.protoo.request("createWebRtcTransport", asked)
        create = self.device.createSendTransport if producing else self.device.createRecvTransport
        transport = create(
            id=made["id"],
            iceParameters=IceParameters(**made["iceParameters"]),
            iceCandidates=[IceCandidate(**candidate) for candidate in made["iceCandidates"]],
            dtlsParameters=DtlsParameters(**made["dtlsParameters"]),
            sctpParameters=SctpParameters(**made["sctpParameters"]),
        )

        @transport.on("connect")
        async def connect(dtlsParameters):
            data = {"transportId": transport.id, "dtlsParameters": plain(dtlsParameters)}
            await self.protoo.request("connectWebRtcTransport", data)

        @transport.on("produce")
        async def produce(kind, rtpParameters, appData):
            data = {
                "transportId": transport.id,
                "kind": kind,
                "rtpParameters": plain(rtpParameters),
                "appData": appData,
            }
            return (await self.protoo.request("produce", data))["id"]

        @transport.on("producedata")
        async def produce_data(sctpStreamParameters, label, protocol, appData):
            data = {
                "transportId": transport.id,
                "sctpStreamParameters": plain(sctpStreamParameters),
                "label": label,
                "protocol": protocol,
                "appData": appData,
            }
            return (await self.protoo.request("produceData", data))["id"]

        return transport

    async def on_request(self, method, data):
        if method == "newConsumer":
            consumer = await self.receiving.consume(
                id=data["id"],
                producerId=data["producerId"],
                kind=data["kind"],
                rtpParameters=RtpParameters(**data["rtpParameters"]),
            )
            self.consumers.append(consumer)
            asyncio.ensure_future(self.count(consumer))
        elif data["label"] == "chat":
            consumer = await self.receiving.consumeData(
                id=data["id"],
                dataProducerId=data["dataProducerId"],
                sctpStreamParameters=SctpStreamParameters(**data["sctpStreamParameters"]),
                label=data["label"],
                protocol=data["protocol"],
            )
            consumer.on("message", lambda text: self.got.put_nowait({"what": "data", "text": text}))

    async def count(self, consumer):
        for _ in range(FRAMES):
            await consumer.track.recv()
        self.got.put_nowait({"what": consumer.kind, "frames": FRAMES})

    async def stats(self):
        """The types of the statistics of all that there is."""
        types = []
        for transport in (self.sending, self.receiving):
            types += await self.protoo.request("getTransportStats", {"transportId": transport.id})
        for consumer in self.consumers:
            types += await self.protoo.request("getConsumerStats", {"consumerId": consumer.id})
        return sorted({stat["type"] for stat in types})


async def greet(producer):
    """Says something until it is heard: messages are lost while a channel opens."""
    while True:
        if producer.readyState == "open":
            producer.send("Hello")
        await asyncio.sleep(0.2)


async def main(server, room):
    tracks = [Tone(), Ball()]
    callee, caller = Client([]), Client(tracks)
    await callee.join(server, room, "callee")
    await caller.join(server, room, "caller")
    for track in tracks:
        await caller.sending.produce(track=track, stopTracks=False, appData={})
    chat = await caller.sending.produceData(label="chat", ordered=True, appData={})
    greeting = asyncio.ensure_future(greet(chat))
    missing = {"audio", "video", "data"}
    while missing:
        got = await callee.got.get()
        if got["what"] in missing:
            missing.remove(got["what"])
            print(json.dumps(got), flush=True)
    greeting.cancel()
    print(json.dumps({"what": "stats", "types": await callee.stats()}), flush=True)
    for client in (caller, callee):
        await client.protoo.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
