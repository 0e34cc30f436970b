"""How long answers wait when only so many can be worked on at once: M/G/c by the hour, after Erlang and Allen-Cunneen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def erlang_c(offered: Floats, servers: int) -> Floats:
    """P(an arrival must wait) at `offered` erlangs, any shape; 1 where they are as many as the servers or more.

    Source: Erlang's B by its recursion, then C = B / (1 − ρ(1 − B)).

    >>> erlang_c(np.array([0.5, 2.0]), 1).tolist()
    [0.5, 1.0]
    """
    blocked = np.ones_like(offered)
    for k in range(1, servers + 1):
        blocked = offered * blocked / (k + offered * blocked)
    rho = offered / servers
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(rho < 1, blocked / (1.0 - rho * (1.0 - blocked)), 1.0)


def mean_wait(offered: Floats, servers: int, *, service: Floats, scv: float) -> Floats:
    """The mean wait of those that wait, in the unit of `service`; inf where more comes than can be served.

    offered, service: of one shape, erlangs and mean service time.   scv: squared coefficient of variation of the service
    time.   Source: Allen and Cunneen's correction (1 + scv) / 2 of M/M/c; exact for M/M/c, and for M/G/1.
    """
    free = servers - offered
    with np.errstate(divide="ignore"):
        return np.where(free > 0, service * (1.0 + scv) / 2.0 / np.maximum(free, 1e-12), np.inf)
