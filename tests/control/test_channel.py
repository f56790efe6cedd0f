"""What every control channel does, in memory and over Kafka's protocol."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from structlog.testing import capture_logs

from control.samples import MESSAGES
from reconcile.builders import city
from tellonce.control.channel import Channel, ControlMessage, Heard, Refusals
from tellonce.control.messages import (
    Answer,
    Attestation,
    Evidence,
    Heartbeat,
    Inquiry,
    M,
    Mark,
    Message,
    Order,
    encode_message,
)
from tellonce.control.routes import said_on
from tellonce.kafka.channel import KafkaChannel
from tellonce.kafka.control import ControlWriter
from tellonce.kafka.embedded import EmbeddedBroker
from tellonce.kafka.settings import KafkaSettings
from tellonce.model.errors import ConfigurationError, RetryableError
from tellonce.testing.channel import MemoryTopics, unsigned
from tellonce.testing.kafka_server import KafkaServer
from tellonce.topology.topics import OPERATOR, RECONCILER, inquiries, marks, orders, topics_of
from waiting import wait_until

MARK = next(each for each in MESSAGES if isinstance(each, Mark))
ORDER = next(each for each in MESSAGES if isinstance(each, Order))
INQUIRY = next(each for each in MESSAGES if isinstance(each, Inquiry))


class Wire:
    """Channels of one city, and a way past them."""

    def __init__(self, channel: Callable[[str], Channel], append: Callable[[str, bytes], None]) -> None:
        self.channel = channel
        self.append = append

    def say(self, speaker: str, *messages: Message) -> None:
        """Let a principal say something."""
        channel = self.channel(speaker)
        for message in messages:
            channel.say(message)
        channel.flush()


def memory_wire() -> Wire:
    """Channels in memory."""
    topics = MemoryTopics()
    return Wire(topics.channel, topics.append)


def kafka_wire(stack: ExitStack) -> Wire:
    """Channels over the embedded broker, with the topics that these tests use."""
    broker = stack.enter_context(EmbeddedBroker())
    names = [make(who) for make in (marks, orders, inquiries) for who in ("a", "b", "healthcare", RECONCILER, OPERATOR)]
    for name in names:
        broker.create_topic(name, partitions=1)
    settings = KafkaSettings(bootstrap_servers=broker.bootstrap_servers, group_protocol="classic")

    def append(topic: str, value: bytes) -> None:
        with ControlWriter(settings, "test-stranger") as writer:
            writer.write(topic, b"key", value)

    return Wire(
        lambda speaker: stack.enter_context(KafkaChannel(settings, speaker, f"test-{speaker}", unsigned())), append
    )


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.server)])
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    """Either kind of channel: what a test shows with this holds for both."""
    with ExitStack() as stack:
        yield memory_wire() if request.param == "memory" else kafka_wire(stack)


def hear(channel: Channel, shape: type[M], count: int) -> list[Heard[M]]:
    """The next messages, so many."""
    found: list[Heard[M]] = []

    def has_come() -> bool:
        found.extend(channel.hear(shape, 0.05))
        return len(found) >= count

    wait_until(has_come, what=f"{count} messages")
    assert len(found) == count
    return found


def order(number: int) -> Order:
    """An order that is told apart from others."""
    return ORDER.model_copy(update={"order_id": f"o-{number}"})


def test_what_is_said_is_heard_with_who_said_it(wire: Wire) -> None:
    """The topic tells the speaker; each ear hears its own shape, in the order in which it was said."""
    wire.say(RECONCILER, order(1), order(2), INQUIRY)
    wire.say("a", order(3))
    relay = wire.channel("b")
    relay.listen(Order, (RECONCILER, "a"), "beginning")

    heard = hear(relay, Order, 3)

    assert sorted((one.speaker, one.message.order_id) for one in heard) == [
        *[("a", "o-3"), (RECONCILER, "o-1"), (RECONCILER, "o-2")]
    ]
    assert [one.message.order_id for one in heard if one.speaker == RECONCILER] == ["o-1", "o-2"]
    wait_until(lambda: not relay.hear(Order, 0.05) and relay.has_caught_up)


def test_inquiry_reaches_those_whom_it_asks_and_names_no_other(wire: Wire) -> None:
    """Nobody learns whom else the reconciler asks about a stream."""
    asked = [wire.channel(name) for name in ("a", "b")]
    for channel in asked:
        channel.listen(Inquiry, (RECONCILER,), "now")
    stranger = wire.channel("healthcare")
    stranger.listen(Inquiry, (RECONCILER,), "now")

    wire.say(RECONCILER, INQUIRY.model_copy(update={"departments": ("a", "b")}))

    assert [hear(channel, Inquiry, 1)[0].message.departments for channel in asked] == [("a",), ("b",)]
    assert list(stranger.hear(Inquiry, 0.05)) == []


def test_message_that_claims_another_speaker_is_refused(wire: Wire) -> None:
    """Who may write a topic speaks for nobody else there, and what follows is heard."""
    wire.append(marks("b"), encode_message(MARK.model_copy(update={"department": "a"})))
    wire.say("b", MARK.model_copy(update={"department": "b"}))
    channel = wire.channel(RECONCILER)
    channel.listen(Mark, ("a", "b"), "beginning")

    with capture_logs() as logs:
        (heard,) = hear(channel, Mark, 1)

    assert (heard.speaker, heard.message.department) == ("b", "b")
    assert [line["event"] for line in logs if line["event"].startswith("control_")] == ["control_message_refused"]


def test_each_topic_is_believed_of_one_kind_of_message_and_one_speaker() -> None:
    """Every kind of message on every control topic of a city, in everybody's name: all but the one are counted."""
    topology = city()
    names = [spec.name for spec in topics_of(topology) if spec.name.startswith("tellonce.")]
    said = [in_name_of(message, claim) for message in MESSAGES for claim in (*topology.departments, RECONCILER)]

    for name in names:
        shape, speaker = said_on(name) or pytest.fail(f"{name} carries nothing")
        refusals = Refusals(unsigned())
        honest = [each for each in said if type(each) is shape and claim_of(each) in {None, speaker}]
        believed = [each for each in said if refusals.take(shape, speaker, standing_on(name, each)) is not None]
        assert believed == honest
        assert honest
        assert refusals.count == len(said) - len(honest)


def standing_on(topic: str, message: Message) -> ControlMessage:
    """A message as it stands on a topic."""
    value = encode_message(message)
    return ControlMessage(topic=topic, partition=0, offset=0, key=b"key", value=value, signature=None)


def claim_of(message: Message) -> str | None:
    """Who a message says it is by, where it says so."""
    if isinstance(message, Mark | Attestation | Answer | Heartbeat):
        return message.department
    return message.source if isinstance(message, Evidence) else None


def in_name_of(message: Message, name: str) -> Message:
    """The message in somebody else's name."""
    if claim_of(message) is None:
        return message
    return message.model_copy(update={"source" if isinstance(message, Evidence) else "department": name})


def test_what_is_no_message_is_passed_and_the_place_moves(wire: Wire) -> None:
    """One bad message is told of once, and not read again."""
    wire.append(orders("a"), b"\xff")
    channel = wire.channel("b")
    channel.listen(Order, ("a",), "beginning")

    with capture_logs() as logs:
        wait_until(lambda: list(channel.hear(Order, 0.05)) == [] and channel.has_caught_up)

    assert [line["event"] for line in logs if line["event"].startswith("control_")] == ["control_message_skipped"]
    assert channel.places(Order)[orders("a"), 0] == 1


def test_listening_from_now_hears_nothing_older(wire: Wire) -> None:
    """An answer to an inquiry of before the start is of no use."""
    wire.say("a", order(1))
    channel = wire.channel("b")
    channel.listen(Order, ("a",), "now")
    wire.say("a", order(2))

    assert [one.message.order_id for one in hear(channel, Order, 1)] == ["o-2"]


def test_listening_goes_on_from_known_places(wire: Wire) -> None:
    """A relay that takes over hears what the one before had not dealt with, and of a topic that it never read all."""
    wire.say("a", order(1), order(2))
    wire.say(OPERATOR, order(3))
    channel = wire.channel("b")

    channel.listen(Order, ("a", OPERATOR), {(orders("a"), 0): 1})

    assert sorted(one.message.order_id for one in hear(channel, Order, 2)) == ["o-2", "o-3"]


def test_listening_again_begins_at_the_new_place(wire: Wire) -> None:
    """What was heard and not dealt with is heard again."""
    wire.say("a", order(1), order(2))
    channel = wire.channel("b")
    channel.listen(Order, ("a",), "beginning")
    hear(channel, Order, 2)

    channel.listen(Order, ("a",), {(orders("a"), 0): 1})

    assert [one.message.order_id for one in hear(channel, Order, 1)] == ["o-2"]


@pytest.mark.server
def test_place_behind_the_end_is_another_topic_and_is_read_from_its_beginning() -> None:
    """A topic that was made again keeps nothing of the old one's offsets: none of its orders is passed over."""
    with ExitStack() as stack, capture_logs() as logs:
        wire = kafka_wire(stack)
        wire.say("a", order(1))
        channel = wire.channel("b")
        channel.listen(Order, ("a",), {(orders("a"), 0): 77})

        assert [one.message.order_id for one in hear(channel, Order, 1)] == ["o-1"]

    assert "control_topic_is_another" in [line["event"] for line in logs]


READS, WRITES = "ControlReader.poll", "ControlWriter.flush"

# What a channel does while the broker is away, and which of its two connections cannot be the same afterwards.
ROUNDS = {
    "polls": (("hear",), READS, "reader"),
    "listens": (("listen",), "ControlReader.follow", "reader"),
    "flushes": (("say", "flush"), WRITES, "writer"),
    "writes": (("say",), "ControlWriter.write", "writer"),
    "flushes beside polls that bring nothing": (("say", "flush", "hear"), WRITES, "writer"),
    "polls beside writes that only wait": (("hear", "say"), READS, "reader"),
    "polls that fail now and then": (("hear", "hear well"), READS, "reader"),
}


@pytest.mark.server
@pytest.mark.parametrize(("deeds", "broken", "remade"), ROUNDS.values(), ids=ROUNDS)
def test_connection_that_fails_repeatedly_is_made_anew(
    monkeypatch: pytest.MonkeyPatch, deeds: tuple[str, ...], broken: str, remade: str
) -> None:
    """Each connection counts its own failures: what succeeds beside them, as it does with a dead broker, ends none."""
    with ExitStack() as stack:
        wire = kafka_wire(stack)
        channel = wire.channel("b")
        channel.listen(Order, ("a",), "now")
        wire.say("a", order(1))
        hear(channel, Order, 1)

        def fail(*_: object, **__: object) -> list[object]:
            raise RetryableError("the broker is away")

        def do(deed: str) -> None:
            if deed == "say":
                channel.say(order(2))
            elif deed == "listen":
                channel.listen(Order, ("a",), "now")
            else:
                getattr(channel, deed)(*([Order] if deed == "hear" else []))

        with capture_logs() as logs:
            for _ in range(3):
                for deed in deeds:
                    with monkeypatch.context() as away:
                        if deed != "hear well":
                            away.setattr(f"tellonce.kafka.control.{broken}", fail)
                        with suppress(RetryableError):
                            do(deed.split()[0])
            said = [str(line["client_id"]) for line in logs if line["event"] == "control_channel_made_anew"]

        assert said == [f"test-b-control-{remade}"]
        wire.say("a", order(3))
        assert [one.message.order_id for one in hear(channel, Order, 1)] == ["o-3"]
        channel.say(order(4))
        channel.flush()


@pytest.mark.server
def test_connection_that_works_again_begins_to_count_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures between which something arrived are no reason for another connection."""
    with ExitStack() as stack, capture_logs() as logs:
        wire = kafka_wire(stack)
        channel = wire.channel("b")

        def fail(*_: object) -> None:
            raise RetryableError("the broker is away")

        for number in range(6):
            channel.say(order(number))
            if number % 2:
                with monkeypatch.context() as away:
                    away.setattr(f"tellonce.kafka.control.{WRITES}", fail)
                    with pytest.raises(RetryableError):
                        channel.flush()
            channel.flush()

        assert "control_channel_made_anew" not in [line["event"] for line in logs]


@pytest.mark.kafka
def test_topic_that_is_made_again_while_it_is_read_is_waited_for(kafka: KafkaServer) -> None:
    """Somebody deletes a control topic and has `topics apply` make it anew: the service pauses, and goes on."""
    with ExitStack() as stack:
        settings = KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)
        admin = AdminClient({**kafka.client_settings(), "log_level": 0})
        speaker, listener = f"a-{uuid4().hex[:8]}", f"b-{uuid4().hex[:8]}"
        names = [orders(speaker), orders(listener)]

        def make() -> None:
            for future in admin.create_topics([NewTopic(name, 1) for name in names]).values():
                future.result(20)

        def say(number: int) -> bool:
            try:
                saying.say(order(number))
                saying.flush()
            except RetryableError:
                return False
            return True

        def hear() -> bool:
            try:
                heard.extend(one.message.order_id for one in listening.hear(Order, 0.1))
            except RetryableError:
                return False
            return True

        make()
        saying = stack.enter_context(KafkaChannel(settings, speaker, "test-speaker", unsigned()))
        listening = stack.enter_context(KafkaChannel(settings, listener, "test-listener", unsigned()))
        heard: list[str] = []
        listening.listen(Order, (speaker,), "beginning")
        wait_until(lambda: say(1) and say(2))
        wait_until(lambda: hear() and heard == ["o-1", "o-2"])

        for future in admin.delete_topics(names).values():
            future.result(20)
        hear()
        make()
        wait_until(lambda: say(3), 30)
        wait_until(lambda: hear() and heard[-1] == "o-3", 30)


@pytest.mark.server
def test_topic_that_is_missing_from_the_beginning_is_a_mistake() -> None:
    """A start says which topic is missing; later on the same is waited for, since somebody will set it right."""
    with ExitStack() as stack, pytest.raises(ConfigurationError, match="nobody"):
        kafka_wire(stack).channel("b").listen(Order, ("nobody",), "now")


@pytest.mark.server
@pytest.mark.parametrize("deed", ["hear", "flush"])
def test_what_is_wrong_later_on_is_waited_for(monkeypatch: pytest.MonkeyPatch, deed: str) -> None:
    """A right that is taken, or a password that is replaced, pauses the service; it ends by no message's doing."""
    with ExitStack() as stack:
        wire = kafka_wire(stack)
        channel = wire.channel("b")
        channel.listen(Order, ("a",), "now")
        channel.say(order(1))
        channel.flush()

        def refuse(*_: object, **__: object) -> list[object]:
            raise ConfigurationError("the topic is closed to this user")

        channel.say(order(2))
        with monkeypatch.context() as closed:
            closed.setattr(f"tellonce.kafka.control.{READS if deed == 'hear' else WRITES}", refuse)
            with pytest.raises(RetryableError, match="closed to this user"):
                getattr(channel, deed)(*([Order] if deed == "hear" else []))

        wire.say("a", order(3))
        assert [one.message.order_id for one in hear(channel, Order, 1)] == ["o-3"]
