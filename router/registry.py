"""The MLflow shelf: every training and comparison is a run with its parameters, metrics, bundle and report.

`MLFLOW_TRACKING_URI` is respected; without it, a SQLite file in the working directory. MLflow takes seconds to import,
so only the functions that use the store do.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from router.errors import RegistryError, WeighbridgeError

EXPERIMENT = "weighbridge"
DEFAULT_STORE = "sqlite:///mlflow.db"
MODEL_NAME = "router"
NO_MLFLOW = "Set MLFLOW_TRACKING_URI, or pass --no-mlflow."
SET_URI = "Set MLFLOW_TRACKING_URI, or go to the directory that holds its mlflow.db."


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
    advice: str = NO_MLFLOW,
) -> str:
    """Record one run; return its id. A bundle is logged as an artefact and as a pyfunc loaded from code.

    advice: what the error tells a person to do. Raises RegistryError where the store cannot be used; what was made
    before stays where it is.
    """
    with opened_store(advice=advice):
        import mlflow

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


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedBundle:
    """A bundle that a run logged as its model. location: where the store keeps the model's files."""

    run_id: str
    model_id: str
    location: str


def logged_bundle(run_id: str) -> LoggedBundle:
    """The model of a run. Raises RegistryError where there is no such run, or none or several such models in it."""
    with opened_store(existing=True, advice=SET_URI) as client:
        outputs = client.get_run(run_id).outputs
        models = [client.get_logged_model(entry.model_id) for entry in (outputs.model_outputs if outputs else ())]
    bundles = [model for model in models if model.name == MODEL_NAME]
    if len(bundles) != 1:
        raise RegistryError(
            f"run {run_id} holds {len(bundles)} routers; wanted one. Log it with `weighbridge train --data D --out B`,"
            " or promote the directory with --bundle B."
        )
    return LoggedBundle(run_id=run_id, model_id=bundles[0].model_id, location=bundles[0].artifact_location)


def aliases(client: Any, name: str) -> dict[str, int]:  # Any: mlflow's client
    """Alias -> version of a registered model; none where the store has no such name."""
    found = [entry for entry in client.search_registered_models(f"name = '{name}'") if entry.name == name]
    return {alias: int(version) for entry in found for alias, version in entry.aliases.items()}


def model_names(client: Any) -> tuple[str, ...]:  # Any: mlflow's client
    """Every registered model of the store, in order."""
    return tuple(sorted(entry.name for entry in paged(client.search_registered_models)))


def paged(search: Callable[..., Any], *filters: str) -> list[Any]:  # Any: one of mlflow's searches
    """All that a search finds, page after page."""
    found: list[Any] = []
    token: str | None = None
    while True:
        page = search(*filters, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def download(location: str, target: Path) -> Path:
    """Copy what the store keeps at `location` into the directory `target`; return the path of the copy."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with opened_store(existing=True, advice=SET_URI):
        import mlflow

        return Path(mlflow.artifacts.download_artifacts(location, dst_path=str(target), tracking_uri=tracking_uri()))


@contextlib.contextmanager
def opened_store(*, advice: str = NO_MLFLOW, existing: bool = False) -> Iterator[Any]:  # Any: mlflow's client
    """A quiet MlflowClient; whatever the store raises becomes one RegistryError that ends in `advice`, without secrets.

    existing: refuse a SQLite file that is not there, where MLflow would make an empty store of it.
    """
    uri = tracking_uri()
    file = Path(uri.removeprefix("sqlite:///").partition("?")[0])
    if existing and uri.startswith("sqlite:///") and not file.exists():
        raise RegistryError(f"{file}: no such MLflow store. {advice}")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # else minutes of silence
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing leaves the machine unasked
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # no addresses among our tables
    try:
        import mlflow
    except ImportError as err:
        raise RegistryError(f"mlflow is not installed; `make setup` installs it. {advice}") from err
    try:
        with _quiet():  # only now: importing mlflow sets its loggers' levels
            yield mlflow.MlflowClient(uri)
    except WeighbridgeError:
        raise
    except Exception as err:  # mlflow raises its own, SQLAlchemy's and the operating system's
        reason = str(err).splitlines()[0] if str(err) else type(err).__name__
        verb = "used" if existing else "written"
        raise RegistryError(
            f"MLflow store {_without_secrets(uri)} could not be {verb} ({_without_secrets(reason)}). {advice}"
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
