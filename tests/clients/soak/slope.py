"""How fast something grows, told so that peaks do not matter: the least of each minute, and the median of the slopes between all of them
(Theil 1950, Sen 1968), with Sen's interval of 95 % by the variance of Kendall's S."""

import itertools
import math
import statistics
from typing import NamedTuple

BUCKET_SECONDS = 60
QUANTILE = 1.96


class Slope(NamedTuple):
    """In percent of the level at the beginning, an hour."""

    percent: float
    low: float
    high: float
    #: The fitted value at the beginning, in the unit of the samples.
    level: float


def slope(samples, after_seconds=0):
    """Of samples (seconds, value), those after a warm-up; None where there are fewer than three minutes of them."""
    points = least((at, value) for at, value in samples if at >= after_seconds)
    if len(points) < 3:
        return None
    slopes = sorted((b - a) / (t - s) for (s, a), (t, b) in itertools.combinations(points, 2))
    middle, first = statistics.median(slopes), points[0][0]
    level = statistics.median(value - middle * (at - first) for at, value in points)
    n = len(points)
    spread = QUANTILE * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = slopes[max(0, round((len(slopes) - spread) / 2))]
    high = slopes[min(len(slopes) - 1, round((len(slopes) + spread) / 2))]
    return Slope(*(100 * 3600 * one / level for one in (middle, low, high)), level)


def least(samples):
    """Of every minute its middle and the smallest value: what is held when nothing is done, and not what work takes for a moment."""
    return [(statistics.median(ats), min(values)) for ats, values in minutes(samples)]


def medians(samples):
    return [(statistics.median(ats), statistics.median(values)) for ats, values in minutes(samples)]


def minutes(samples):
    """Times and values, by the minute."""
    buckets = {}
    for at, value in samples:
        buckets.setdefault(int(at // BUCKET_SECONDS), []).append((at, value))
    return [tuple(zip(*bucket)) for _, bucket in sorted(buckets.items())]
