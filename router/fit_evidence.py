"""What a fit leaves for the manifest: on which data, with which settings, and how right out of fold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from router.dataset import Dataset
from router.files import DECIMALS
from router.fitting import FittedHead
from router.scoring import log_loss


def heads_evidence(taught: Dataset, fitted: Mapping[str, FittedHead]) -> dict[str, Any]:
    """Head -> its settings and out-of-fold figures.   taught: the queries that the heads were fitted on."""
    heads = {}
    for name, entry in fitted.items():
        labels = taught.labels(name)
        y = np.array([entry.head.classes.index(labels[i] or "") for i in entry.index], dtype=np.intp)
        heads[name] = {
            "n": len(y),
            "C": entry.setting.C,
            "ngram_factor": entry.setting.ngram_factor,
            "calibration": entry.head.calibration.kind,
            "oof_accuracy": round(float((entry.oof.argmax(axis=1) == y).mean()), DECIMALS),
            "oof_log_loss": round(log_loss(entry.oof, y), DECIMALS),
            "tried": [
                {"C": setting.C, "ngram_factor": setting.ngram_factor, "log_loss": round(loss, DECIMALS)}
                for setting, loss in entry.tried
            ],
            "calibration_log_loss": {kind: round(loss, DECIMALS) for kind, loss in entry.calibration_losses.items()},
        }
    return heads
