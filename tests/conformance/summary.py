"""Prints the outcome of a run of the Autobahn test suite, a line for each case, and then `N passed, N failed`."""

import json
import sys

# NON-STRICT: the behaviour is allowed, at another moment than the suite would choose. INFORMATIONAL: nothing is judged.
GOOD = {"OK", "NON-STRICT", "INFORMATIONAL"}


def main():
    with open(sys.argv[1]) as file:
        cases = json.load(file)["belfry"]
    by_number = sorted(cases, key=lambda case: [int(part) for part in case.split(".")])
    failed = 0
    for case in by_number:
        outcome, closing = cases[case]["behavior"], cases[case]["behaviorClose"]
        good = outcome in GOOD and closing in GOOD
        failed += not good
        print(case, outcome, "close", closing)
    print(f"{len(cases) - failed} passed, {failed} failed")


main()
