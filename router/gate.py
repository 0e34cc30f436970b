"""What a promotion asks of its evidence: a pure check that lists everything missing at once."""

from __future__ import annotations

from collections.abc import Sequence

from router.errors import RegistryError
from router.evidence import Evidence, GuaranteeRecord
from router.files import DECIMALS

Shortcoming = tuple[str, str]  # what is missing, and the command that gets it
COMPARE = "weighbridge evidence --bundle B --against {other} (--data D | --outcomes O) --out FILE"
GUARANTEE = "weighbridge threshold --bundle B --target guarantee --against MODEL --out NEW"


class PromotionError(RegistryError):
    """What a promotion lacks. reasons: one text each; the message lists them all, and the next command."""

    def __init__(self, name: str, bundle: str, missing: Sequence[Shortcoming]) -> None:
        self.reasons = tuple(what for what, _ in missing)
        listed = "; ".join(f"({i}) {what}" for i, what in enumerate(self.reasons, start=1))
        super().__init__(f"{name}: bundle {bundle} is not promoted: {listed}. Next: `{missing[0][1]}`.")


def shortcomings(
    evidence: Evidence,
    *,
    name: str,
    bundle: str,
    champion: str | None,
    threshold: object,
    margin: float,
    require_guarantee: bool,
) -> list[Shortcoming]:
    """What keeps `bundle` from becoming champion of `name`; empty where the evidence holds.

    champion: the id of the present one.   threshold: what the bundle's manifest decides at; None where it names none.
    The order is that in which a person would mend them.
    """
    if bundle == champion:
        return [("this bundle is the champion already", f"weighbridge registry show {name}@champion")]
    found = []
    if evidence.challenger != bundle:
        found.append(f"the evidence is about bundle {evidence.challenger}, not about this one")
    found += _wrong_other_side(evidence, name=name, champion=champion)
    if evidence.challenger_fingerprint != evidence.champion_fingerprint:
        found.append(
            "the two sides were judged on different data (fingerprints"
            f" {evidence.challenger_fingerprint[:16]} and {evidence.champion_fingerprint[:16]})"
        )
    if evidence.n == 0:
        found.append("no query was compared (n is 0)")
    if evidence.least_gain < -margin:
        found.append(
            f"it may be worse by {-evidence.least_gain:.6g} in {evidence.metric}, more than the margin {margin:g}"
            f" ({evidence.summary()})"
        )
    bounds = _unguaranteed(evidence.guarantee, bundle=bundle, threshold=threshold, required=require_guarantee)
    compare = COMPARE.format(other=f"models:/{name}@champion" if champion else "BASELINE")
    return [(what, compare) for what in found] + [(what, GUARANTEE) for what in bounds]


def _wrong_other_side(evidence: Evidence, *, name: str, champion: str | None) -> list[str]:
    if evidence.champion == champion:
        return []
    if champion is None:
        return [f"it compares with bundle {evidence.champion}, but {name} has no champion: compare with a baseline"]
    if evidence.champion is None:
        return [f"it compares with the baseline {evidence.baseline}, not with the champion {champion}"]
    return [f"it compares with bundle {evidence.champion}, which is not the champion now: that is {champion}"]


def _unguaranteed(guarantee: GuaranteeRecord | None, *, bundle: str, threshold: object, required: bool) -> list[str]:
    """A guarantee that is given must be this bundle's, asked for or not: it goes on record with the promotion."""
    if guarantee is None:
        return ["it has no guarantee, and one is asked for"] if required else []
    found = []
    if guarantee.bundle != bundle:
        found.append(f"the guarantee is for bundle {guarantee.bundle}, not for this one")
    same = isinstance(threshold, int | float) and abs(threshold - guarantee.threshold) <= 10**-DECIMALS
    if threshold is not None and not same:
        found.append(f"the guarantee holds at threshold {guarantee.threshold:g}, the bundle decides at {threshold}")
    return found
