"""Credentials: which tokens and keys are good, for how long, and whose."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from gateway.auth import Authenticator, CredentialKind
from gateway.errors import BadUserInput, Forbidden, Unauthenticated
from gateway.model.events.visitor_ids import is_genuine_anonymous_id, new_anonymous_id
from gateway.settings import Settings
from tests.support.strategies import DAY_MS, MINUTE_MS, SETTINGS, START_MS

SECRET = "s" * 40
KEY = SECRET.encode()


class Clock:
    """A clock that a test moves."""

    now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def auth(clock: Clock) -> Authenticator:
    return make_auth(clock)


def make_auth(clock: Clock) -> Authenticator:
    keys: dict[str, Any] = {"secret_keys": ["sk_dev_0123456789"], "publishable_keys": ["pk_dev_0123456789"]}
    return Authenticator(Settings(token_secret=SecretStr(SECRET), **keys), clock)


def token(secret: str | bytes = KEY, algorithm: str = "HS256", **claims: Any) -> str:
    body = {"sub": "u1", "exp": START_MS // 1000 + 60, **claims}
    return jwt.encode({name: value for name, value in body.items() if value is not None}, secret, algorithm=algorithm)


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_shops_own_token_says_who_the_visitor_is(auth: Authenticator) -> None:
    """Signed with the shared secret; the scheme is case-insensitive."""
    found = auth.authenticate(f"bearer  {token()}")
    assert (found.kind, found.visitor_id, found.expires_at) == (CredentialKind.VISITOR, "u1", START_MS / 1000 + 60)


def test_no_credential_is_a_credential_too(auth: Authenticator) -> None:
    """What it may reach is decided elsewhere."""
    assert auth.authenticate(None).kind is CredentialKind.NONE


def test_keys_are_what_their_prefix_says(auth: Authenticator) -> None:
    """Secret and publishable."""
    assert auth.authenticate("Bearer sk_dev_0123456789").kind is CredentialKind.SECRET
    assert auth.authenticate("Bearer pk_dev_0123456789").kind is CredentialKind.PUBLISHABLE


FORGED = {
    "other secret": token(b"x" * 40),
    "other algorithm": token(KEY * 2, "HS512"),
    "algorithm none": f"{part({'alg': 'none', 'typ': 'JWT'})}.{part({'sub': 'u1', 'exp': 2**40})}.",
    "no signature": token().rpartition(".")[0] + ".",
    "another's claims": f"{token().split('.')[0]}.{part({'sub': 'u2', 'exp': 2**40})}.{token().split('.')[2]}",
    "without exp": token(exp=None),
    "without sub": token(sub=None),
    "exp is no number": token(exp="soon"),
    "exp is null": jwt.encode({"sub": "u1", "exp": None}, KEY),
    "exp is a list": jwt.encode({"sub": "u1", "exp": [1]}, KEY),
    "nbf is no number": token(nbf="now"),
    "nbf is ahead": token(nbf=START_MS // 1000 + 120),
    "sub is a number": jwt.encode({"sub": 5, "exp": 2**40}, KEY),
    "sub is empty": token(sub=""),
    "sub is long": token(sub="x" * 129),
    "sub is a forged anonymous id": token(sub="anon_" + "0" * 44),
    "sub is another key's anonymous id": token(sub=new_anonymous_id(b"x" * 40)),
    "expired": token(exp=START_MS // 1000),
    "long expired": token(exp=0),
    "huge": "a" * 1_000_000,
    "huge in three parts": ".".join(["a" * 300_000] * 3),
    "no token": "abc",
    "dots": "..",
    "foreign characters": "é.é.é",
    "lone surrogate": "\ud800",
    "unknown secret key": "sk_dev_0123456780",
    "prefix of a secret key": "sk_dev_012345678",
    "unknown publishable key": "pk_dev_0123456780",
    "secret key as publishable": "pk_sk_dev_0123456789",
    "key with an accent": "sk_é",
}


@pytest.mark.parametrize("shown", FORGED.values(), ids=FORGED.keys())
def test_a_forged_or_expired_credential_is_unauthenticated(auth: Authenticator, shown: str) -> None:
    """Never anything else, and never a visitor; the answer repeats no part of what was shown."""
    with pytest.raises(Unauthenticated) as found:
        auth.authenticate(f"Bearer {shown}")
    assert shown[:20] not in found.value.message or len(shown) < 5


@pytest.mark.parametrize(
    "shown",
    [
        "sk_\ud800",
        jwt.encode({"sub": "u1", "exp": 10**400}, KEY),
        jwt.encode({"sub": "u1", "exp": float("nan")}, KEY),
        token(sub="\ud800"),
        token(sub="a\nb"),
    ],
    ids=["surrogate in a key", "exp past any float", "exp is not a number", "sub is a surrogate", "sub has a line break"],
)
def test_a_credential_of_odd_values_is_unauthenticated(auth: Authenticator, shown: str) -> None:
    """What is signed with the secret is checked too: the shop's server may have mistakes."""
    with pytest.raises(Unauthenticated):
        auth.authenticate(f"Bearer {shown}")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic dTpw", "sk_dev_0123456789", "Bearer\tsk_dev_0123456789"])
def test_another_scheme_is_told_the_right_one(auth: Authenticator, header: str) -> None:
    """The message says what to send."""
    with pytest.raises(Unauthenticated, match="send 'Authorization: Bearer"):
        auth.authenticate(header)


@SETTINGS
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_garbage_is_unauthenticated(garbage: str) -> None:
    """Whatever stands in the header."""
    with pytest.raises(Unauthenticated):
        make_auth(Clock()).authenticate(garbage)
    with pytest.raises(Unauthenticated):
        make_auth(Clock()).authenticate(f"Bearer {garbage}")


@SETTINGS
@given(st.data())
def test_a_changed_token_is_unauthenticated(data: st.DataObject) -> None:
    """Any character of head, body or the signature's whole bytes."""
    good = token()
    place = data.draw(st.integers(0, len(good) - 2))
    changed = good[:place] + data.draw(st.sampled_from("ABCxyz019-_.")) + good[place + 1 :]
    if changed != good:
        with pytest.raises(Unauthenticated):
            make_auth(Clock()).authenticate(f"Bearer {changed}")


def test_a_visit_holds_an_hour(auth: Authenticator, clock: Clock) -> None:
    """To the second, by the gateway's own clock."""
    visit = auth.start_visit()
    assert is_genuine_anonymous_id(KEY, visit.visitor_id)
    assert visit.expires_at_ms == START_MS + 60 * MINUTE_MS
    clock.now_ms = visit.expires_at_ms - 1
    assert auth.authenticate(f"Bearer {visit.token}").visitor_id == visit.visitor_id
    clock.now_ms = visit.expires_at_ms
    with pytest.raises(Unauthenticated, match="has expired; renew it with startVisit"):
        auth.authenticate(f"Bearer {visit.token}")


def test_a_visit_is_renewed_within_thirty_days_of_its_end(auth: Authenticator, clock: Clock) -> None:
    """The visitor stays the same; after that it is a new one's turn."""
    visit = auth.start_visit()
    clock.now_ms = visit.expires_at_ms + 30 * DAY_MS - 1
    renewed = auth.renew_visit(visit.token)
    assert renewed.visitor_id == visit.visitor_id
    assert auth.authenticate(f"Bearer {renewed.token}").visitor_id == visit.visitor_id
    assert auth.anonymous_id_of(visit.token) == visit.visitor_id
    clock.now_ms += 1
    for use in (auth.renew_visit, auth.anonymous_id_of):
        with pytest.raises(Unauthenticated, match="has expired"):
            use(visit.token)


def test_only_tokens_of_start_visit_are_renewed(auth: Authenticator) -> None:
    """A known user's token would otherwise never end."""
    with pytest.raises(Forbidden):
        auth.renew_visit(token())
    for forged in (token(b"x" * 40), "abc", token(exp=0)):
        with pytest.raises(Unauthenticated):
            auth.renew_visit(forged)


def test_an_anonymous_token_is_one_of_an_anonymous_visitor(auth: Authenticator) -> None:
    """A known user's token proves no anonymous side."""
    with pytest.raises(BadUserInput) as found:
        auth.anonymous_id_of(token())
    assert found.value.field == "anonymousToken"


@pytest.mark.parametrize("wrong", ["", "x" * 129, "a\nb", "a\x00", "\ud800", "anon_1", "anon_" + "0" * 44, new_anonymous_id(b"x" * 40)])
def test_a_visitor_id_that_may_not_be_named(auth: Authenticator, wrong: str) -> None:
    """Of the wrong form, or an anonymous one that startVisit did not make."""
    with pytest.raises(BadUserInput) as found:
        auth.check_visitor_id(wrong, "userId")
    assert found.value.field == "userId"


def test_a_visitor_id_that_may_be_named(auth: Authenticator) -> None:
    """A shop's own, and a genuine anonymous one."""
    for visitor_id in ("12345", "x" * 128, "müller@shop.example", auth.start_visit().visitor_id):
        assert auth.check_visitor_id(visitor_id, "userId") == visitor_id
