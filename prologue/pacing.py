"""When the next piece is due while the model wakes: for how long it stays quiet in between."""

from session.limits import limits


def fragment_gap_s(left: int, waited: float, eta_s: float | None, *, behind: bool) -> float:
    """Seconds between the last piece of the countdown and its next one.

    With an estimate, what is left is spread over the time that is left. Without one the pieces follow the
    loading, and when it says nothing, the next one comes after the longest wait that is allowed.

    Args:
        left: pieces that were not told yet, at least 1.
        waited: seconds since the last one.
        eta_s: estimated seconds until the model is awake; None or 0 if nobody knows (any more).
        behind: whether the loading has come further than the telling.
    """
    least, most = limits().fragment_gap_s, limits().fragment_wait_s
    if eta_s:
        return min(max((waited + eta_s) / (left + 1), least), most)
    return least if behind else most


def lull_gap_s(told: int) -> float:
    """Seconds before the next lull after `told` of them in a row. Each wait is longer than the one before:
    who waits for minutes reads something else meanwhile.
    """
    # The exponent is bounded: a listener may wait for hours, and floats may not.
    grown = limits().fragment_wait_s * limits().lull_growth ** min(told + 1, 50)
    return min(grown, limits().lull_wait_s)
