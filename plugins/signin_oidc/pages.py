"""The way to the provider and back."""
from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Any

from mcpweb.plugin import (
    PUBLIC,
    Unauthenticated,
    Unavailable,
    begin_sign_in,
    claim_sign_in,
    own_path,
    permission,
    refuse_sign_in,
    sign_in_as,
)

from .config import PLUGIN, Config
from .idtoken import FRESH_S, Disbelieved, is_fresh, verified
from .provider import Provider

COOKIE = "mcpweb-oidc"


def blueprint(config: Config) -> Any:
    """Return the two pages of a provider."""
    from flask import Blueprint, current_app, redirect, request

    bp = Blueprint("pages", __name__)
    provider = Provider(config)

    @bp.get("/start")
    @permission(PUBLIC)
    def start() -> Any:
        """Send the browser to the provider, with a question only it can bring the answer to."""
        core = current_app.extensions["mcpweb"]
        if request.headers.get("Sec-Fetch-Site") == "cross-site":
            raise Unauthenticated("Another site began this sign-in.", next_step="Sign in from our own page.")
        verifier, nonce = secrets.token_urlsafe(48), secrets.token_urlsafe(32)
        again = request.args.get("confirm") == "1"
        kept = {"verifier": verifier, "nonce": nonce, "next": request.args.get("next", "/"), "again": again}
        provider.document()
        state, browser = begin_sign_in(core, PLUGIN, kept, request.remote_addr or "")
        answer = redirect(provider.address(state=state, nonce=nonce, challenge=challenge_of(verifier), again=again), 303)
        answer.set_cookie(
            COOKIE, browser, max_age=600, path=f"/p/{PLUGIN}/", httponly=True, samesite="Lax", secure=core.settings.secure_cookie
        )
        return answer

    @bp.get("/callback")
    @permission(PUBLIC)
    def callback() -> Any:
        """Believe the provider's answer, or not; open a session if so."""
        core = current_app.extensions["mcpweb"]
        try:
            kept = claim_sign_in(core, PLUGIN, request.args.get("state", ""), request.cookies.get(COOKIE, ""))
            claims = _believed(provider, kept, request.args)
        except Disbelieved as fault:
            refuse_sign_in(core, PLUGIN, fault.reason, request.remote_addr or "")
            raise
        answer = redirect(own_path(kept["next"]), 303)
        answer.delete_cookie(COOKIE, path=f"/p/{PLUGIN}/")
        return sign_in_as(
            core, PLUGIN, answer, issuer=config.issuer, subject=claims["sub"], name=config.name_of(claims),
            role=config.role_of(claims), request=request, fresh=is_fresh(claims),
        )

    return bp


def _believed(provider: Provider, kept: dict[str, Any], given: Any) -> dict[str, Any]:
    """Return the claims the answer proves. Raises Disbelieved, Unavailable."""
    config = provider.config
    named = given.get("iss")
    must_name = provider.document().get("authorization_response_iss_parameter_supported") is True
    if (named is not None or must_name) and not hmac.compare_digest(str(named).encode(), config.issuer.encode()):
        raise Disbelieved("answered by another issuer")
    if given.get("error"):
        raise Disbelieved(f"provider says {given['error'][:60]}")
    if not given.get("code"):
        raise Disbelieved("no code")
    found = provider.tokens(given["code"], kept["verifier"])
    access_token = found.get("access_token", "")
    if not isinstance(access_token, str):
        raise Unavailable("The provider's answer cannot be read.")
    return verified(
        found.get("id_token", ""), provider.key(found.get("id_token")), issuer=config.issuer, client_id=config.client_id,
        nonce=kept["nonce"], algorithms=config.algorithms, access_token=access_token, max_age=FRESH_S if kept["again"] else None,
    )


def challenge_of(verifier: str) -> str:
    """Return what PKCE shows of a verifier beforehand."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
