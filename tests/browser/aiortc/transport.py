"""One end of a WebRtcTransport, made of aiortc's ICE, DTLS, SRTP and SCTP."""

from aiortc import (
    RTCCertificate,
    RTCDataChannel,
    RTCDataChannelParameters,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    RTCIceCandidate,
    RTCIceGatherer,
    RTCIceParameters,
    RTCIceTransport,
    RTCRtpReceiver,
    RTCRtpSender,
    RTCSctpCapabilities,
    RTCSctpTransport,
)
from aiortc.rtcrtpparameters import (
    RTCRtcpFeedback,
    RTCRtcpParameters,
    RTCRtpCodecParameters,
    RTCRtpDecodingParameters,
    RTCRtpHeaderExtensionParameters,
    RTCRtpReceiveParameters,
    RTCRtpRtxParameters,
    RTCRtpSendParameters,
)
from aiortc.rtcrtpreceiver import RemoteStreamTrack


class Transport:
    """The far end of what the server has described by `info`."""

    def __init__(self, info):
        self.id = info["id"]
        self._info = info
        self._ice = RTCIceTransport(RTCIceGatherer(iceServers=[]))
        self._dtls = RTCDtlsTransport(self._ice, [RTCCertificate.generateCertificate()])
        self.sctp = RTCSctpTransport(self._dtls, info["sctpParameters"]["port"])
        self._media = []

    async def connect(self, dtls_role, tell_server):
        """Connects all layers. `tell_server` is given our dtlsParameters before ICE begins."""
        ice, dtls = self._info["iceParameters"], self._info["dtlsParameters"]
        # The server is ICE-lite, so that this side nominates.
        self._ice._connection.ice_controlling = True
        self._dtls._set_role(dtls_role)
        await self._ice.iceGatherer.gather()
        ours = [vars(one) for one in self._dtls.getLocalParameters().fingerprints]
        ours = [{"algorithm": one["algorithm"], "value": one["value"]} for one in ours]
        await tell_server({"role": dtls_role, "fingerprints": ours})
        for candidate in self._info["iceCandidates"]:
            if candidate["protocol"] == "udp":
                await self._ice.addRemoteCandidate(
                    RTCIceCandidate(
                        component=1,
                        foundation=candidate["foundation"],
                        ip=candidate["address"],
                        port=candidate["port"],
                        priority=candidate["priority"],
                        protocol="udp",
                        type=candidate["type"],
                    )
                )
        await self._ice.addRemoteCandidate(None)
        await self._ice.start(
            RTCIceParameters(
                usernameFragment=ice["usernameFragment"], password=ice["password"], iceLite=ice["iceLite"]
            )
        )
        fingerprints = [RTCDtlsFingerprint(**one) for one in dtls["fingerprints"]]
        await self._dtls.start(RTCDtlsParameters(fingerprints=fingerprints))
        assert (self._ice.state, self._dtls.state) == ("completed", "connected"), (self._ice.state, self._dtls.state)
        size = self._info["sctpParameters"]["maxReceiveMessageSize"]
        await self.sctp.start(RTCSctpCapabilities(maxMessageSize=size), self._info["sctpParameters"]["port"])

    async def send(self, track, codec, rtx_payload_type, mid, produce):
        """Sends a track with a codec of the router. `produce` is given the kind and the rtpParameters."""
        sender = RTCRtpSender(track, self._dtls)
        codecs = [codec_parameters(codec)]
        encoding = {"ssrc": sender._ssrc}
        if rtx_payload_type is not None:
            rtx = {
                "mimeType": f"{track.kind}/rtx",
                "clockRate": codec["clockRate"],
                "payloadType": rtx_payload_type,
                "parameters": {"apt": codec["payloadType"]},
            }
            codecs.append(codec_parameters(rtx))
            encoding["rtx"] = {"ssrc": sender._rtx_ssrc}
        extension = {"id": 1, "uri": "urn:ietf:params:rtp-hdrext:sdes:mid"}
        described = {
            "mid": mid,
            "codecs": [described_codec(one) for one in codecs],
            "headerExtensions": [extension],
            "encodings": [encoding],
            "rtcp": {"cname": "aiortc"},
        }
        await produce(track.kind, described)
        await sender.send(
            RTCRtpSendParameters(
                codecs=codecs,
                headerExtensions=[RTCRtpHeaderExtensionParameters(**extension)],
                muxId=mid,
                rtcp=RTCRtcpParameters(cname="aiortc", mux=True),
            )
        )
        self._media.append(sender)

    async def receive(self, kind, rtp):
        """Receives what a consumer's rtpParameters describe; a track."""
        receiver = RTCRtpReceiver(kind, self._dtls)
        receiver._track = RemoteStreamTrack(kind=kind)
        codecs = [codec_parameters(codec) for codec in rtp["codecs"]]
        encodings = [
            RTCRtpDecodingParameters(
                ssrc=encoding["ssrc"],
                payloadType=codecs[0].payloadType,
                rtx=RTCRtpRtxParameters(ssrc=encoding["rtx"]["ssrc"]) if "rtx" in encoding else None,
            )
            for encoding in rtp["encodings"]
        ]
        extensions = [
            RTCRtpHeaderExtensionParameters(id=one["id"], uri=one["uri"]) for one in rtp["headerExtensions"]
        ]
        await receiver.receive(
            RTCRtpReceiveParameters(
                codecs=codecs,
                headerExtensions=extensions,
                muxId=rtp["mid"],
                rtcp=RTCRtcpParameters(cname=rtp["rtcp"]["cname"], mux=True),
                encodings=encodings,
            )
        )
        self._media.append(receiver)
        return receiver.track

    def channel(self, stream, label, protocol):
        """A data channel on a stream that both ends know of, as mediasoup's clients make them."""
        parameters = RTCDataChannelParameters(
            label=label,
            protocol=protocol,
            negotiated=True,
            id=stream["streamId"],
            ordered=stream.get("ordered", True),
            maxRetransmits=stream.get("maxRetransmits"),
            maxPacketLifeTime=stream.get("maxPacketLifeTime"),
        )
        return RTCDataChannel(self.sctp, parameters)

    async def stop(self):
        for one in self._media:
            await one.stop()
        await self.sctp.stop()
        await self._dtls.stop()
        await self._ice.stop()


def codec_parameters(codec):
    """mediasoup's codec as aiortc's."""
    return RTCRtpCodecParameters(
        mimeType=codec["mimeType"],
        clockRate=codec["clockRate"],
        channels=codec.get("channels"),
        payloadType=codec["payloadType"],
        rtcpFeedback=[
            RTCRtcpFeedback(type=one["type"], parameter=one.get("parameter") or None)
            for one in codec.get("rtcpFeedback", [])
        ],
        parameters=dict(codec.get("parameters", {})),
    )


def described_codec(codec):
    """aiortc's codec as mediasoup's."""
    described = {
        "mimeType": codec.mimeType,
        "clockRate": codec.clockRate,
        "payloadType": codec.payloadType,
        "parameters": codec.parameters,
        "rtcpFeedback": [{"type": one.type, "parameter": one.parameter or ""} for one in codec.rtcpFeedback],
    }
    return described | ({"channels": codec.channels} if codec.channels else {})
