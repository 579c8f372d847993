"""An ID token is believed only if all of it fits: its signature, who made it, for whom, when, and for which question."""
from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Any

from mcpweb.plugin import Failure, Unauthenticated, clock

LEEWAY_S = 60
OLDEST_S = 600
FRESH_S = 300
LONGEST = 32 * 1024
# a header that brings a key, or says where one lies, or asks for more than we know
_NEVER = ("jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64", "zip", "enc")


class Disbelieved(Unauthenticated):
    """The answer of the provider does not hold; ``reason`` is for the audit log, not for the person."""

    code = "sign_in_refused"

    def __init__(self, reason: str) -> None:
        super().__init__("What the provider answered was not believed.", next_step="Sign in again; the audit log says why.")
        self.reason = reason


def header_of(token: object) -> dict[str, Any]:
    """Return the header of a signed token. Raises Disbelieved for anything that is none, or says too much."""
    from joserfc.util import urlsafe_b64decode

    if not isinstance(token, str) or len(token) > LONGEST or token.count(".") != 2:
        raise Disbelieved("no ID token")
    try:
        header = json.loads(urlsafe_b64decode(token.split(".")[0].encode()))
    except (ValueError, TypeError):
        raise Disbelieved("header cannot be read") from None
    if not isinstance(header, dict) or not isinstance(header.get("alg"), str):
        raise Disbelieved("header names no algorithm")
    if set(header) & set(_NEVER):
        raise Disbelieved("header brings its own key")
    if header.get("typ") not in (None, "JWT"):
        raise Disbelieved("not an ID token")
    return header


def key_for(header: Mapping[str, Any], jwks: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the one published key a header can mean; None when there is none, or more than one."""
    fitting = [
        key for key in jwks.get("keys", ())
        if isinstance(key, dict) and key.get("kty") in ("RSA", "EC", "OKP") and key.get("use", "sig") == "sig"
        and key.get("alg", header["alg"]) == header["alg"] and header.get("kid", key.get("kid")) == key.get("kid")
    ]
    return fitting[0] if len(fitting) == 1 else None


def verified(
    token: str, key: Mapping[str, Any], *, issuer: str, client_id: str, nonce: str, algorithms: tuple[str, ...],
    access_token: str = "", max_age: int | None = None,
) -> dict[str, Any]:
    """Return the claims of a token that holds. Raises Disbelieved with the reason."""
    from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import JWKRegistry

    header = header_of(token)
    if header["alg"] not in algorithms:
        raise Disbelieved(f"algorithm {header['alg'][:20]}")
    now = int(clock.source())
    try:
        public = JWKRegistry.import_key({name: value for name, value in key.items() if name not in ("d", "key_ops")})
        claims = dict(jwt.decode(token, public, algorithms=[header["alg"]]).claims)
        believed = CodeIDToken(
            claims, header,
            {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": client_id}},
            {"nonce": nonce, "client_id": client_id, "access_token": access_token, "max_age": max_age},
        )
        believed.validate(now=now, leeway=LEEWAY_S)
        _strictly(claims, issuer=issuer, client_id=client_id, nonce=nonce, access_token=access_token, now=now, max_age=max_age)
    except Failure:
        raise
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Disbelieved(f"{type(error).__name__} {getattr(error, 'description', '') or getattr(error, 'claim', '')}") from None
    return claims


def _strictly(
    claims: Mapping[str, Any], *, issuer: str, client_id: str, nonce: str, access_token: str, now: int, max_age: int | None
) -> None:
    """Hold what the library lets pass: kinds, ages, other audiences, and hashes of what did not come."""
    audience = claims["aud"]
    audiences = [audience] if isinstance(audience, str) else audience
    numbers = [claims[name] for name in ("exp", "iat", "nbf", "auth_time") if name in claims]
    faults = {
        "iss": claims["iss"] != issuer,
        "sub": not (isinstance(claims["sub"], str) and 0 < len(claims["sub"]) <= 255),
        "aud": not isinstance(audiences, list) or client_id not in audiences,
        "azp": (len(audiences) > 1 or "azp" in claims) and claims.get("azp") != client_id,
        "nonce": not (isinstance(claims.get("nonce"), str) and hmac.compare_digest(claims["nonce"].encode(), nonce.encode())),
        "times": any(isinstance(one, bool) or not isinstance(one, int | float) for one in numbers),
        "at_hash": "at_hash" in claims and not (claims["at_hash"] and isinstance(claims["at_hash"], str) and access_token),
    }
    wrong = [name for name, fault in faults.items() if fault]
    if not wrong:
        late = {
            "exp": claims["exp"] <= now - LEEWAY_S, "iat": not now - OLDEST_S <= claims["iat"] <= now + LEEWAY_S,
            "auth_time": max_age is not None and not now - max_age - LEEWAY_S <= claims.get("auth_time", 0) <= now + LEEWAY_S,
        }
        wrong = [name for name, fault in late.items() if fault]
    if wrong:
        raise Disbelieved(", ".join(wrong))


def is_fresh(claims: Mapping[str, Any]) -> bool:
    """Tell whether the person showed who they are within five minutes; silence is no."""
    at = claims.get("auth_time")
    return isinstance(at, int | float) and not isinstance(at, bool) and abs(clock.source() - at) <= FRESH_S
