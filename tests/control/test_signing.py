"""Signed statements: what a principal said is known to be its own, and nothing else is believed."""

from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from control.samples import MESSAGES
from tellonce.control.messages import Mark, encode_message
from tellonce.control.signing import Signatures, public_key_of
from tellonce.model.errors import ConfigurationError
from tellonce.testing.channel import MemoryTopics
from tellonce.topology.topics import RECONCILER, marks

OLD, NEW, OTHER = (bytes([number]) * 32 for number in (1, 2, 3))
MARK = next(each for each in MESSAGES if isinstance(each, Mark)).model_copy(update={"department": "police"})
TOPIC = marks("police")


def listed(*secrets: bytes) -> dict[str, Sequence[str]]:
    """A topology's public keys, where only the police signs."""
    return {"police": [public_key_of(secret) for secret in secrets]}


def heard_of(topics: MemoryTopics, known: dict[str, Sequence[str]]) -> list[Mark]:
    """What the reconciler hears of the police from the beginning on."""
    channel = topics.channel(RECONCILER, Signatures(known, RECONCILER, bytes))
    channel.listen(Mark, ("police",), "beginning")
    return [one.message for one in channel.hear(Mark)]


def said_by(secret: bytes, known: dict[str, Sequence[str]]) -> MemoryTopics:
    """Topics on which the police has said a mark."""
    topics = MemoryTopics()
    channel = topics.channel("police", Signatures(known, "police", lambda: secret))
    channel.say(MARK)
    channel.flush()
    return topics


def test_what_is_signed_is_heard() -> None:
    """By the key of who says it."""
    assert heard_of(said_by(OLD, listed(OLD)), listed(OLD)) == [MARK]


def test_a_key_is_replaced_without_a_gap() -> None:
    """While both are listed, hosts that have the new secret and those that have the old one are believed."""
    both = listed(OLD, NEW)

    assert heard_of(said_by(OLD, both), both) == heard_of(said_by(NEW, both), both) == [MARK]
    assert heard_of(said_by(OLD, both), listed(NEW)) == []


def test_where_no_key_is_listed_nobody_signs_and_all_are_believed() -> None:
    """A city that has not begun to sign rests on the broker's access rules."""
    topics = said_by(OLD, {})

    assert [message.signature for message in topics.messages(TOPIC)] == [None]
    assert heard_of(topics, {}) == [MARK]
    assert heard_of(topics, {"fund": [public_key_of(OLD)]}) == [MARK]


@pytest.mark.parametrize(
    "damage", ["none", "another's", "another topic's", "another key's", "altered", "garbage", "short"]
)
def test_what_is_not_signed_by_its_speaker_is_refused_and_told(damage: str) -> None:
    """A broker's administrator who appends, alters or moves a statement is seen."""
    value, key = encode_message(MARK), b"key"
    secret = OTHER if damage == "another's" else OLD
    topic = marks("fund") if damage == "another topic's" else TOPIC
    signed_key = b"yek" if damage == "another key's" else key
    signature = Signatures(listed(secret), "police", lambda: secret).sign(topic, signed_key, value)
    assert signature is not None
    match damage:
        case "none":
            signature = None
        case "altered":
            value = value.replace(b'"count":3', b'"count":4')
        case "garbage":
            signature = b"1 " + b"\xff" * 128
        case "short":
            signature = signature[:-2]
        case _:
            pass
    topics = MemoryTopics()
    topics.append(TOPIC, value, key, signature)

    with capture_logs() as logs:
        assert heard_of(topics, listed(OLD)) == []

    (line,) = [line for line in logs if line["event"] == "control_message_refused"]
    assert (line["topic"], line["offset"], line["messages"]) == (TOPIC, 0, 1)
    assert "signature" in line["reason"]


def test_many_alike_are_told_in_one_line() -> None:
    """Whoever floods a topic does not flood the log."""
    topics = MemoryTopics()
    for _ in range(300):
        topics.append(TOPIC, encode_message(MARK))

    with capture_logs() as logs:
        heard_of(topics, listed(OLD))

    assert [line["messages"] for line in logs if line["event"] == "control_message_refused"] == [300]


def test_wrong_secret_is_named_before_anything_is_said() -> None:
    """A host with another's file, or an old one, says what to do instead of being refused by everybody."""
    signatures = Signatures(listed(OLD), "police", lambda: OTHER)

    with pytest.raises(ConfigurationError, match="signing_keys"):
        signatures.own()


def test_who_only_listens_needs_no_secret() -> None:
    """An operator's `status` works on a host without the operators' key."""

    def missing() -> bytes:
        raise AssertionError("nobody asks for it")

    signatures = Signatures({**listed(OLD), RECONCILER: [public_key_of(NEW)]}, RECONCILER, missing)
    topics = said_by(OLD, listed(OLD))
    channel = topics.channel(RECONCILER, signatures)
    channel.listen(Mark, ("police",), "beginning")

    assert [one.message for one in channel.hear(Mark)] == [MARK]
