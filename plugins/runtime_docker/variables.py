"""What a secret may be called and may hold on its way into a container; asked here whatever others have checked."""
from __future__ import annotations

from collections.abc import Iterable, Mapping

from mcpweb.plugin import ContainerIntent, PolicyRefused, SecretDelivery, variable_fault

WAYS = ("stdin", "file", "environment")
MOST_BYTES = 64 * 1024
MOST_BYTES_IN_ALL = 1024 * 1024  # a program's environment and arguments have a limit of their own, about twice this
FOLDER = "/run/secrets"


def check(intent: ContainerIntent) -> None:
    """Raise PolicyRefused unless every secret of the intent can be delivered under its variable."""
    seen: set[str] = set()
    total = 0
    for secret in intent.secrets:
        check_name(secret.variable)
        if secret.way not in WAYS:
            raise PolicyRefused(f"{secret.way!r} is not a way to deliver a secret: {', '.join(WAYS)}.")
        for name in names(secret):
            if name in seen:
                raise PolicyRefused(
                    f"Two secrets are delivered under {name}.", next_step="Bind one of them under another variable."
                )
            seen.add(name)
        total += len(value_of(secret))
    if total > MOST_BYTES_IN_ALL:
        raise PolicyRefused("All secrets of a server together are larger than 1 MiB.", next_step="Bind fewer of them.")


def check_name(variable: str) -> None:
    """Raise PolicyRefused unless a secret may be delivered under this name."""
    fault = variable_fault(variable)
    if fault:
        raise PolicyRefused(fault, next_step="Bind the secret under another variable.")


def names(secret: SecretDelivery) -> tuple[str, ...]:
    """Return the variables a delivery sets."""
    return (secret.variable, f"{secret.variable}_FILE") if secret.way == "file" else (secret.variable,)


def value_of(secret: SecretDelivery) -> bytes:
    """Return the value's bytes. Raises PolicyRefused for what the way cannot carry, and never shows it."""
    try:
        value = secret.value.reveal().encode()
    except UnicodeEncodeError:
        raise PolicyRefused(f"The secret for {secret.variable} is not text.") from None
    if len(value) > MOST_BYTES:
        raise PolicyRefused(f"The secret for {secret.variable} is larger than 64 KiB.")
    if b"\0" in value and secret.way != "file":
        raise PolicyRefused(
            f"The secret for {secret.variable} holds a zero byte, which no environment can carry.",
            next_step="Bind it by file.",
        )
    return value


def environment(given: Mapping[str, str], secrets: Iterable[SecretDelivery]) -> dict[str, str]:
    """Return the environment the engine is told: a secret's variable is left to the secret.

    Only the way ``environment`` puts a value here; ``file`` puts the path, ``stdin`` nothing at all.
    """
    secrets = tuple(secrets)
    taken = {name for secret in secrets for name in names(secret)}
    told = {name: value for name, value in given.items() if name not in taken}
    for secret in secrets:
        if secret.way == "environment":
            told[secret.variable] = value_of(secret).decode()
        elif secret.way == "file":
            told[f"{secret.variable}_FILE"] = f"{FOLDER}/{secret.variable}"
    return told
