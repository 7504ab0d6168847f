"""Calls whoever is in a room: python call.py SERVER ROOM

Sends a tone and a moving picture, greets back in the chat who greets, and prints a line of JSON for each thing that
has come from the other side: `{"what": "video", "frames", "width", "height"}`, `{"what": "audio", "frames",
"loudest"}` and `{"what": "chat", "text"}`. Ends at the end of its input.
"""

import asyncio
import json
import math
import sys
from array import array

from aiortc import AudioStreamTrack, VideoStreamTrack
from av import VideoFrame

from peer import Peer

#: How much counts as received.
VIDEO_FRAMES = 30
AUDIO_FRAMES = 50

#: Of 16 bits: what is not silence.
LOUD = 500


class Tone(AudioStreamTrack):
    """440 Hz, loud enough for anybody."""

    async def recv(self):
        frame = await super().recv()
        at = range(frame.pts, frame.pts + frame.samples)
        samples = [round(8000 * math.sin(2 * math.pi * 440 * t / frame.sample_rate)) for t in at]
        frame.planes[0].update(array("h", samples).tobytes())
        return frame


class Ball(VideoStreamTrack):
    """A white square on its way through 320x184 grey pixels, 30 times a second."""

    WIDTH, HEIGHT, SIZE = 320, 184, 40

    async def recv(self):
        pts, time_base = await self.next_timestamp()
        left = pts // 600 % (self.WIDTH - self.SIZE)
        grey = bytes([60])
        row = grey * left + bytes([235]) * self.SIZE + grey * (self.WIDTH - self.SIZE - left)
        above = (self.HEIGHT - self.SIZE) // 2
        below = self.HEIGHT - self.SIZE - above
        frame = VideoFrame(self.WIDTH, self.HEIGHT, "yuv420p")
        luma, *chroma = frame.planes
        luma.update(grey * self.WIDTH * above + row * self.SIZE + grey * self.WIDTH * below)
        for plane in chroma:
            plane.update(bytes([128]) * plane.buffer_size)
        frame.pts, frame.time_base = pts, time_base
        return frame


async def main(server, room):
    peer = await Peer.join(server, room, "aiortc")
    watching = asyncio.gather(watch_tracks(peer), watch_channels(peer))
    await peer.produce(Tone())
    await peer.produce(Ball())
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await asyncio.wait([watching, ended], return_when=asyncio.FIRST_COMPLETED)
    if watching.done():
        watching.result()
        await ended
    watching.cancel()
    await peer.leave()


async def watch_tracks(peer):
    async with asyncio.TaskGroup() as tasks:
        while True:
            track = await peer.tracks.get()
            tasks.create_task(watch_video(track) if track.kind == "video" else watch_audio(track))


async def watch_video(track):
    for _ in range(VIDEO_FRAMES):
        frame = await track.recv()
    tell(what="video", frames=VIDEO_FRAMES, width=frame.width, height=frame.height)
    while True:
        await track.recv()


async def watch_audio(track):
    frames = loudest = 0
    # The remote side may be silent at first.
    while frames < AUDIO_FRAMES or loudest < LOUD:
        frame = await track.recv()
        frames += 1
        loudest = max(loudest, max(map(abs, memoryview(frame.planes[0]).cast("h"))))
    tell(what="audio", frames=frames, loudest=loudest)
    while True:
        await track.recv()


async def watch_channels(peer):
    chat = None
    async with asyncio.TaskGroup() as tasks:
        while True:
            channel = await peer.channels.get()
            if channel.label == "chat":
                # The first chat message confirms that the chat works in both directions.
                chat = chat or await peer.produce_data()
                tasks.create_task(greet_back(channel, chat))


async def greet_back(channel, chat):
    while True:
        text = await channel.messages.get()
        tell(what="chat", text=text)
        chat.send(f"{text} too")


def tell(**what):
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
