"""The MLflow shelf: every training and comparison is a run with its parameters, metrics, bundle and report.

`MLFLOW_TRACKING_URI` is respected; without it, a SQLite file in the working directory. MLflow takes seconds to import,
so only the functions that log do.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from router.errors import RegistryError

EXPERIMENT = "weighbridge"
DEFAULT_STORE = "sqlite:///mlflow.db"
MODEL_NAME = "router"


def tracking_uri() -> str:
    """Where runs go."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE


def flatten(figures: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Nested figures -> the numbers among them, keys joined by dots; null and text are left out.

    >>> flatten({"route": {"n": 3, "reason": None}})
    {'route.n': 3.0}
    """
    found: dict[str, float] = {}
    for key, value in figures.items():
        name = f"{prefix}{key}".replace(" ", "_")
        if isinstance(value, Mapping):
            found |= flatten(value, f"{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = float(value)
    return found


def log_run(
    name: str,
    *,
    params: Mapping[str, str | int | float],
    metrics: Mapping[str, float],
    artifacts: Sequence[Path],
    bundle: Path | None = None,
) -> str:
    """Record one run; return its id. A bundle is logged as an artefact and as a pyfunc loaded from code.

    Raises RegistryError where the store cannot be used; what was made before stays where it is.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # else minutes of silence
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing leaves the machine unasked
    try:
        import mlflow
    except ImportError as err:
        raise RegistryError("mlflow is not installed; `make setup` installs it, or pass --no-mlflow.") from err
    try:
        with _quiet():  # only now: importing mlflow sets its loggers' levels
            mlflow.set_tracking_uri(tracking_uri())
            mlflow.set_experiment(EXPERIMENT)
            with mlflow.start_run(run_name=name) as run:
                mlflow.log_params(dict(params))
                mlflow.log_metrics(dict(metrics))
                for path in artifacts:
                    mlflow.log_artifact(str(path))
                if bundle is not None:
                    mlflow.log_artifacts(str(bundle), artifact_path="bundle")
                    mlflow.pyfunc.log_model(
                        name=MODEL_NAME,
                        loader_module="router.pyfunc",
                        data_path=str(bundle),
                        pip_requirements=["numpy", "onnxruntime", "safetensors", "tokenizers"],
                    )
                identity: str = run.info.run_id
                return identity
    except Exception as err:  # mlflow raises its own, SQLAlchemy's and the operating system's
        reason = str(err).splitlines()[0] if str(err) else type(err).__name__
        raise RegistryError(
            f"MLflow store {_without_secrets(tracking_uri())} could not be written ({_without_secrets(reason)})."
            " Set MLFLOW_TRACKING_URI, or pass --no-mlflow."
        ) from err


def _without_secrets(text: str) -> str:
    """A text whose addresses have lost user and password."""
    return re.sub(r"(?<=://)\S*@", "…@", text)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """MLflow and Alembic announce every migration of a new store; a person needs none of it."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [entry.level for entry in loggers]
    for entry in loggers:
        entry.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for entry, level in zip(loggers, levels, strict=True):
            entry.setLevel(level)
