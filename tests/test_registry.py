"""The MLflow shelf: a run is recorded whole, its model decides as the router does, and a failure tells no secret."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import RegistryError
from router.pipeline import Router
from router.pyfunc import RouterModel
from router.registry import DEFAULT_STORE, EXPERIMENT, flatten, log_run, tracking_uri

TEXTS = ["where is my refund?", "plan a week from Yuma to Moab with dump stations", "hi"]
LOG = "from router.registry import log_run; log_run('quiet', params={}, metrics={}, artifacts=[])"

# MLflow warns of its own type hints and of its calls of SQLAlchemy: not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore")

Figures = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from(["n", "accuracy", "by language"]), inner, max_size=3),
    max_leaves=12,
)


@dataclass(frozen=True)
class Shelf:
    """A store with one run in it."""

    uri: str
    run_id: str
    run: Any  # mlflow's Run


@pytest.fixture(scope="module")
def shelf(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    place = tmp_path_factory.mktemp("shelf")
    uri = f"sqlite:///{place / 'store.db'}"
    (place / "report.html").write_text("<p>report</p>", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)  # MLflow keeps artefacts of a SQLite store in the working directory
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        run_id = log_run(
            "train",
            params={"verb": "train", "seed": 7},
            metrics={"route.accuracy": 0.75, "route.n": 4},
            artifacts=[place / "report.html"],
            bundle=bundle,
        )
    import mlflow

    return Shelf(uri=uri, run_id=run_id, run=mlflow.MlflowClient(uri).get_run(run_id))


@pytest.fixture(scope="module")
def model(shelf: Shelf) -> Any:  # mlflow's PyFuncModel
    import mlflow

    mlflow.set_tracking_uri(shelf.uri)
    return mlflow.pyfunc.load_model(f"runs:/{shelf.run_id}/router")


def artefacts(shelf: Shelf, folder: str | None = None) -> set[str]:
    import mlflow

    return {entry.path for entry in mlflow.MlflowClient(shelf.uri).list_artifacts(shelf.run_id, folder)}


def expected(router: Router) -> list[dict[str, Any]]:
    return [
        {"route": decision.route, "rule": decision.rule, "confidence": decision.confidence}
        for decision in map(router.decide, TEXTS)
    ]


def test_a_run_is_recorded_with_its_parameters_and_metrics(shelf: Shelf) -> None:
    assert shelf.run.data.params == {"verb": "train", "seed": "7"}
    assert shelf.run.data.metrics == {"route.accuracy": 0.75, "route.n": 4.0}
    assert (shelf.run.info.run_name, shelf.run.info.status) == ("train", "FINISHED")


def test_a_run_stands_in_the_experiment_of_the_project(shelf: Shelf) -> None:
    import mlflow

    assert mlflow.MlflowClient(shelf.uri).get_experiment(shelf.run.info.experiment_id).name == EXPERIMENT


def test_the_report_and_every_file_of_the_bundle_are_kept(shelf: Shelf, bundle: Path) -> None:
    assert {"report.html", "bundle"} <= artefacts(shelf)
    assert artefacts(shelf, "bundle") == {f"bundle/{path.name}" for path in bundle.iterdir()}


def test_the_model_on_the_shelf_decides_as_the_router(model: Any, router: Router) -> None:
    assert model.predict(TEXTS) == expected(router)


def test_the_model_on_the_shelf_takes_a_table_with_a_column_of_texts(model: Any, router: Router) -> None:
    import pandas as pd

    assert model.predict(pd.DataFrame({"text": TEXTS})) == expected(router)


def test_the_wrapper_decides_as_the_router(router: Router) -> None:
    assert RouterModel(router).predict(TEXTS) == expected(router)


@pytest.mark.loopback
def test_an_unreachable_store_is_one_error_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ranger:s3cret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RegistryError, match="MLFLOW_TRACKING_URI, or pass --no-mlflow") as caught:
        log_run("train", params={}, metrics={}, artifacts=[])
    assert "s3cret" not in str(caught.value)
    assert "ranger" not in str(caught.value)


def test_a_store_whose_driver_is_missing_is_not_taken_for_a_missing_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://ranger:s3cret@127.0.0.1:9/runs")
    with pytest.raises(RegistryError) as caught:
        log_run("train", params={}, metrics={}, artifacts=[])
    assert "mlflow is not installed" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_store_that_cannot_be_made_is_one_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'file' / 'store.db'}")
    with pytest.raises(RegistryError, match="could not be written"):
        log_run("train", params={}, metrics={}, artifacts=[])


def test_a_new_store_is_made_without_a_word(tmp_path: Path) -> None:
    env = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'store.db'}"}
    done = subprocess.run(
        [sys.executable, "-c", LOG], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout + done.stderr == ""


def test_runs_go_to_the_store_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    assert tracking_uri() == "sqlite:///elsewhere.db"


@pytest.mark.parametrize("value", [None, ""])
def test_runs_go_to_the_working_directory_where_the_environment_names_none(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if value is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", value)
    assert tracking_uri() == DEFAULT_STORE


def test_figures_are_flattened_to_their_numbers() -> None:
    nested = {"route": {"n": 3, "accuracy": None, "simulated": True}, "by language": {"en": {"n": 2, "ci": [0.1, 0.9]}}}
    assert flatten(nested) == {"route.n": 3.0, "by_language.en.n": 2.0}


@settings(deadline=None, max_examples=40)
@given(figures=st.dictionaries(st.sampled_from(["heads", "route"]), Figures, max_size=2))
def test_what_is_flattened_is_numbers_under_names_without_blanks(figures: dict[str, Any]) -> None:
    flat = flatten(figures)
    assert all(isinstance(value, float) and " " not in name for name, value in flat.items())
