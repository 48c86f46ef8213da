"""The last step of set-up: import what is heavy, and name the system library that is missing."""

import importlib
import re
import sys

MODULES = [
    "numpy",
    "scipy.stats",
    "pandas",
    "polars",
    "pyarrow",
    "duckdb",
    "sklearn",
    "lightgbm",
    "statsmodels.api",
    "arch",
    "optuna",
    "matplotlib.figure",
    "pandas_market_calendars",
    "loky",
    "harness",
]

# How the loader names a library it did not find, on Linux and on macOS.
LIBRARY = re.compile(r"\blib[\w+-]+(?:\.so(?:\.\d+)*|\.dylib)")

PACKAGES = {
    "libgomp.so.1": "libgomp1 (Debian/Ubuntu: apt-get install libgomp1)",
    "libomp.dylib": "libomp (macOS: brew install libomp)",
    "libstdc++.so.6": "libstdc++6 (Debian/Ubuntu: apt-get install libstdc++6)",
}


def remedy(error: Exception) -> str:
    """What to do about a failed import, from the loader's own words."""
    library = LIBRARY.search(str(error))
    if library is None:
        return "make clean setup"
    return f"install {PACKAGES.get(library[0], f'the system package that holds {library[0]}')}"


def main() -> int:
    """Import every module; 0 when all came, 2 with one line for each that did not."""
    broken = 0
    for name in MODULES:
        try:
            importlib.import_module(name)
        except (ImportError, OSError) as error:
            broken += 1
            said = str(error).strip().splitlines() or [type(error).__name__]
            print(f"set-up: cannot import {name}: {said[0]}\n  {remedy(error)}", file=sys.stderr)
    return 2 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
