"""Two SCTP implementations meet in a room: python data.py SERVER SCENARIO

Two peers whose SCTP is aiortc's speak through the router, and every message is checked. `SCENARIO` is one of the
functions below; the process fails when something is not as it should be.
"""

import asyncio
import sys

from peer import Peer

#: The bound of each wait for something that must happen, in seconds.
PATIENCE = 20


async def ordered(alice, bob):
    """Messages of all kinds and sizes arrive whole and in order."""
    sender, receiver = await channel(alice, bob)
    messages = ["", b"", "text", b"\x00binary\xff"] + [f"{index} " * (index % 700) for index in range(1000)]
    for message in messages:
        sender.send(message)
    assert [await next_of(receiver) for _ in messages] == messages


async def unordered(alice, bob):
    """On a channel that is unordered and unreliable all arrives where nothing is lost, in whatever order."""
    sender, receiver = await channel(alice, bob, ordered=False, maxRetransmits=0)
    assert (receiver.ordered, receiver.maxRetransmits) == (False, 0)
    # A few at a time, because an unreliable channel drops messages when queues are full.
    for first in range(0, 200, 10):
        messages = [f"message {index}" for index in range(first, first + 10)]
        for message in messages:
            sender.send(message)
        assert sorted([await next_of(receiver) for _ in messages]) == sorted(messages)


async def large(alice, bob):
    """Messages of 200 KB arrive whole, both ways at once."""
    there, back = await channel(alice, bob), await channel(bob, alice)
    for index, (sender, _) in enumerate((there, back)):
        for _ in range(3):
            sender.send(pattern(200_000, index))
    for index, (_, receiver) in enumerate((there, back)):
        for _ in range(3):
            assert await next_of(receiver) == pattern(200_000, index)


async def many(alice, bob):
    """200 channels are open at once, and each carries its own messages."""
    pairs = [await channel(alice, bob, str(index)) for index in range(200)]
    for index, (sender, _) in enumerate(pairs):
        sender.send(f"on {index}")
    for index, (_, receiver) in enumerate(pairs):
        assert await next_of(receiver) == f"on {index}"


async def reset(alice, bob):
    """Channels close at both ends by a reset of their streams, whoever closes them, and the streams are used again."""
    sender, receiver = await channel(alice, bob)
    for round_ in range(20):
        sender.send(f"round {round_}")
        assert await next_of(receiver) == f"round {round_}"
        sender.close()
        await closed(sender)
        # The server keeps the DataProducer until the client closes it.
        sender = alice.sending.channel({"streamId": sender.id}, sender.label, sender.protocol)
    receiver.close()
    await closed(receiver)
    _, receiver = await channel(alice, bob)
    await alice.leave()
    await closed(receiver)


async def channel(sender, receiver, protocol="", **options):
    """Both ends of a new channel."""
    made = await within(sender.produce_data(protocol=protocol, **options))
    heard = await within(receiver.channels.get())
    while heard.label != "chat":
        heard = await within(receiver.channels.get())
    assert heard.protocol == protocol
    return made, heard


def next_of(receiver):
    return within(receiver.messages.get())


async def closed(end):
    ended = asyncio.get_running_loop().create_future()
    if end.readyState != "closed":
        end.once("close", lambda: ended.set_result(None))
        await within(ended)


def within(wait):
    return asyncio.wait_for(wait, PATIENCE)


def pattern(length, seed):
    return bytes((index * 7 + seed) % 256 for index in range(length))


SCENARIOS = {scenario.__name__: scenario for scenario in (ordered, unordered, large, many, reset)}


async def main(server, name):
    alice, bob = [await within(Peer.join(server, f"data-{name}", one)) for one in ("Alice", "Bob")]
    await SCENARIOS[name](alice, bob)
    await alice.leave()
    await bob.leave()


asyncio.run(main(*sys.argv[1:]))
