"""Tide predictions for Skerrow harbour.

The heights are in metres above the zero of the gauge under the tide clock. The constants were fitted to nineteen years
of readings. The author of this module is Tamsin Okoro, and the method is the ordinary sum of cosines.

The page for sailors on the web server calls `high_waters`; the tide clock, being a clock, calls nobody.
"""

import math
from datetime import datetime, timedelta

# Mean sea level above the zero of the gauge is 2.94 metres.
MEAN_LEVEL = 2.94

# The reference time of all phases.
EPOCH = datetime(2004, 1, 1)

# name: (amplitude in metres, phase in degrees, speed in degrees per hour)
CONSTITUENTS = {
    "M2": (1.62, 187.4, 28.9841042),
    "S2": (0.55, 224.9, 30.0),
    "N2": (0.31, 166.2, 28.4397295),
    "K2": (0.15, 222.1, 30.0821373),
    "K1": (0.12, 341.8, 15.0410686),
    "O1": (0.11, 196.3, 13.9430356),
    "M4": (0.06, 95.7, 57.9682084),
    "MS4": (0.04, 148.0, 58.9841042),
}

# Water over the sill of the Little Quay at which a dinghy floats.
DINGHY_DEPTH = 0.35

# The causeway to the lighthouse can be walked below this height.
CAUSEWAY_LIMIT = 1.85


def height(moment):
    """Height of the tide at a moment, in metres; winds and pressure are left to your judgement."""
    hours = (moment - EPOCH).total_seconds() / 3600
    total = MEAN_LEVEL
    for amplitude, phase, speed in CONSTITUENTS.values():
        total += amplitude * math.cos(math.radians(speed * hours - phase))
    return total


def high_waters(day, step_minutes=6):
    """The high waters of a day as pairs of time and height.

    Looks at every sixth minute, as the gauge does, and keeps the ones that are higher than both of their neighbours.
    """
    found = []
    moment = datetime(day.year, day.month, day.day)
    end = moment + timedelta(days=1)
    step = timedelta(minutes=step_minutes)
    while moment < end:
        before, now, after = height(moment - step), height(moment), height(moment + step)
        if before < now >= after:
            found.append((moment, now))
        moment += step
    return found


def causeway_is_open(moment):
    """Whether one can walk to the lighthouse. Leave half an hour early; the keeper will not fetch you."""
    return height(moment) < CAUSEWAY_LIMIT


def surge(pressure, normal=1013.25):
    """What low pressure adds to the tide: 1.1 centimetres for every millibar."""
    return 0.011 * (normal - pressure)


if __name__ == "__main__":
    today = datetime.now()
    for when, metres in high_waters(today):
        print(f"high water at {when:%H:%M}, {metres:.2f} m")
    print("causeway open" if causeway_is_open(today) else "causeway closed")
