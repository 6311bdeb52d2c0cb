"""One-time codes (RFC 6238: SHA-1, six digits, 30 s, as every authenticator app takes it) and recovery codes.

A code of the step before, at, or after the present one is right; a step is accepted once per person, and never one
that lies before an accepted one. `store/people.py` holds the newest accepted step and moves it by compare-and-swap.
"""

from __future__ import annotations

import hmac
import re
from datetime import datetime

import pyotp

from gateway.access.keys import Token, base32

STEP_S = 30
DRIFT = 1
RECOVERY_CODES = 10

_CODE = re.compile(r"[0-9]{6}")
_RECOVERY = re.compile(r"[a-z2-7]{16}")


def new_secret(token: Token) -> str:
    """A TOTP secret of 160 bits (RFC 4226 section 4, R6) in base32."""
    return base32(token(20)).upper()


def uri(secret: str, login: str, issuer: str) -> str:
    """The `otpauth://` form that authenticator apps scan."""
    return str(pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name=issuer))


def matching_steps(secret: str, code: str, now: datetime) -> list[int]:
    """The time steps within the drift whose code this is, newest first; [] for a wrong code."""
    right = _CODE.fullmatch(code) is not None
    totp = pyotp.TOTP(secret)
    present = int(now.timestamp()) // STEP_S
    steps = [step for step in range(present + DRIFT, present - DRIFT - 1, -1) if step >= 0]
    matches = [step for step in steps if hmac.compare_digest(totp.generate_otp(step), code if right else "------")]
    return matches if right else []


def recovery_code(token: Token) -> str:
    """A recovery code of 80 bits in four groups, to be written down."""
    text = base32(token(10))
    return "-".join(text[start : start + 4] for start in range(0, 16, 4))


def fold_recovery_code(text: str) -> str:
    """The code without its groups' separators; "" for a text that is no recovery code."""
    folded = text.replace("-", "").replace(" ", "").lower()
    return folded if _RECOVERY.fullmatch(folded) else ""
