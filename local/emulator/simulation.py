"""A simulation of IAM goes by the condition keys that it is given.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local.emulator.seams import Function, Seams

IAM = "ministack.services.iam"
EVALUATOR = "ministack.core.iam_evaluator"


def declare(seams: Seams) -> None:
    """Take the condition keys from the request to where policies are evaluated."""
    seams.replace(simulate, IAM, "_simulate_principal_policy", "p")
    seams.replace(evaluate, EVALUATOR, "evaluate", "ctx", "policies", "limits")


def simulate(original: Function) -> Function:
    """Keep the condition keys of a simulation while it is made."""

    def simulate_principal_policy(request: dict[str, Any]) -> object:
        token = _keys.set(condition_keys(request))
        try:
            return original(request)
        finally:
            _keys.reset(token)

    return simulate_principal_policy


def evaluate(original: Function) -> Function:
    """Add the condition keys of the simulation that is being made, if one is."""

    def evaluate_policies(context: Any, policies: object, *limits: object) -> object:
        context.service_context = {**context.service_context, **_keys.get()}
        return original(context, policies, *limits)

    return evaluate_policies


def condition_keys(request: dict[str, Any]) -> dict[str, str]:
    """Read the condition keys, each with its first value, as the query protocol numbers them."""
    keys = {}
    number = 1
    while name := first(request, f"ContextEntries.member.{number}.ContextKeyName"):
        value = first(request, f"ContextEntries.member.{number}.ContextKeyValues.member.1")
        keys[name.lower()] = value
        number += 1
    return keys


def first(request: dict[str, Any], key: str) -> str:
    """Give the value of a parameter, or an empty text."""
    value = request.get(key, "")
    return str(value[0] if isinstance(value, list) else value)


_keys: ContextVar[dict[str, str]] = ContextVar("keys", default={})  # noqa: B039 - never changed in place
