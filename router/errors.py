"""Every error that Weighbridge raises on purpose.

    WeighbridgeError
    ├── DataError        labelled queries, cards, route tables or scenarios that cannot be used (ValueError)
    ├── PriceError       a model or a date without a price (ValueError)
    ├── PolicyError      a threshold, a price or a shape that a policy cannot take (ValueError)
    ├── EncoderError     an encoder that cannot be had, or is not the one that was asked for
    ├── FitError         training data from which nothing can be learned (ValueError)
    ├── BundleError      a bundle that is broken, tampered with, or newer than this version (ValueError)
    ├── RegistryError    the MLflow store cannot be reached or written
    ├── RunError         a run that cannot be read, or does not replay to the same bytes (ValueError)
    └── ModelError       a model that did not answer, or not to the end; it knows whether another try may help

A message says what was found, what was wanted, and the next command to type. The command line prints it on one
line and exits with 2.
"""

from __future__ import annotations


class WeighbridgeError(Exception):
    """Base of all errors raised on purpose."""


class DataError(WeighbridgeError, ValueError):
    """Labelled queries, a card, a route table or a scenario cannot be used."""


class PriceError(WeighbridgeError, ValueError):
    """A model, or a model on that date, has no price."""


class PolicyError(WeighbridgeError, ValueError):
    """A policy was given something it cannot decide with."""


class EncoderError(WeighbridgeError):
    """An encoder cannot be had, or is not the one that was asked for."""


class FitError(WeighbridgeError, ValueError):
    """Nothing can be learned from this training data."""


class BundleError(WeighbridgeError, ValueError):
    """A bundle is broken, was tampered with, or comes from a newer version."""


class RegistryError(WeighbridgeError):
    """The MLflow store cannot be reached or written."""


class RunError(WeighbridgeError, ValueError):
    """A run cannot be read, or does not replay to the same bytes."""


class ModelError(WeighbridgeError):
    """A model did not answer, or not to the end.

    kind: what happened, as below.   retry_after_s: how long the provider asks to wait, where it does.   retryable: whether
    the same request may succeed elsewhere or later; `bad_request` and `unauthorised` are the caller's to mend.
    """

    KINDS = ("overloaded", "rate_limited", "timeout", "unreachable", "broken_stream", "unauthorised", "bad_request")

    def __init__(self, message: str, *, kind: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        assert kind in self.KINDS
        self.kind = kind
        self.retry_after_s = retry_after_s

    @property
    def retryable(self) -> bool:
        """Whether another attempt makes sense."""
        return self.kind not in ("unauthorised", "bad_request")
