# ruff: noqa: PTH123, PTH208, SIM105 - they do what users do
"""Users' classes that know more than they were handed; every one is to be caught.

The file is copied beside a made experiment; `places.py`, written there too, says where the forbidden files lie.
"""

import builtins
import functools
import gc
import json
import mmap
import os
import pickle
import socket
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import duckdb
import numpy as np
import places
import polars as pl
from own_models import Newest


class Moved(Newest):
    """Answers the honest number plus whatever it has got hold of."""

    def predict(self, rows, snapshot):
        return super().predict(rows, snapshot).with_columns(pl.col("value") + self.extra(rows, snapshot))

    def extra(self, rows, snapshot):
        return 0.0


class Remembering(Moved):
    """Keeps the newest label of every origin where it outlives the instance, and uses the newest of them all."""

    def fit(self, rows, snapshot, *, seed):
        super().fit(rows, snapshot, seed=seed)
        newest = rows.keys["period"].arg_max()
        self.kept()[rows.keys["period"][newest].isoformat()] = float(rows.y[newest])

    def extra(self, rows, snapshot):
        kept = self.kept()
        return kept[max(kept)]


class InBuiltins(Remembering):
    def kept(self):
        if not hasattr(builtins, "labels_seen"):
            builtins.labels_seen = {}
        return builtins.labels_seen


class OnALibrary(Remembering):
    def kept(self):
        if not hasattr(pl.DataFrame, "labels_seen"):
            pl.DataFrame.labels_seen = {}
        return pl.DataFrame.labels_seen


class InACache(Remembering):
    def kept(self):
        if not hasattr(textwrap, "box"):
            textwrap.box = functools.cache(dict)
        return textwrap.box()


class InTheEnvironment(Moved):
    def fit(self, rows, snapshot, *, seed):
        super().fit(rows, snapshot, seed=seed)
        newest = rows.keys["period"].arg_max()
        seen = json.loads(os.environ.get("LABELS_SEEN", "{}"))
        os.environ["LABELS_SEEN"] = json.dumps({**seen, rows.keys["period"][newest].isoformat(): rows.y[newest]})

    def extra(self, rows, snapshot):
        seen = json.loads(os.environ["LABELS_SEEN"])
        return seen[max(seen)]


class LaterOnes(InBuiltins):
    """Uses only what was left by a later origin, so that walking forward alone shows nothing."""

    def kept(self):
        if not hasattr(builtins, "later_labels_seen"):
            builtins.later_labels_seen = {}
        return builtins.later_labels_seen

    def extra(self, rows, snapshot):
        now = rows.keys["period"].max().isoformat()
        return sum(value for period, value in self.kept().items() if period >= now)


class Counting(Moved):
    def extra(self, rows, snapshot):
        builtins.asked_so_far = getattr(builtins, "asked_so_far", 0) + 1
        return builtins.asked_so_far


class InTheWorkingFolder(Moved):
    """Leaves its labels in a file; in a folder where it was run before, every origin finds those of the last."""

    def fit(self, rows, snapshot, *, seed):
        super().fit(rows, snapshot, seed=seed)
        newest = rows.keys["period"].arg_max()
        place = Path("labels.json")
        seen = json.loads(place.read_text()) if place.exists() else {}
        place.write_text(json.dumps({**seen, rows.keys["period"][newest].isoformat(): rows.y[newest]}))

    def extra(self, rows, snapshot):
        seen = json.loads(Path("labels.json").read_text())
        return seen[max(seen)]


class Opens(Moved):
    def extra(self, rows, snapshot):
        with open(places.toml) as file:
            return len(file.read())


class OpensByPath(Moved):
    def extra(self, rows, snapshot):
        return len(Path(places.toml).read_bytes())


class BesideIt(Moved):
    def extra(self, rows, snapshot):
        return float(Path(__file__).with_name("answers.txt").read_text())


class ByWorkingFolder(Moved):
    def extra(self, rows, snapshot):
        return float(Path("answers.txt").read_text())


class ReadsCsv(Moved):
    def extra(self, rows, snapshot):
        return pl.read_csv(places.csv)["value"].sum()


class ReadsParquet(Moved):
    def extra(self, rows, snapshot):
        return pl.scan_parquet(places.parquet).collect()["value"].sum()


class ReadsTheArchive(Moved):
    def extra(self, rows, snapshot):
        with duckdb.connect(places.archive, read_only=True) as connection:
            return connection.execute("select max(published_at)::varchar from changes").fetchone()[0].count("0")


class ReadsSqlite(Moved):
    def extra(self, rows, snapshot):
        connection = sqlite3.connect(places.sqlite)
        value = connection.execute("select value from told").fetchone()[0]
        connection.close()
        return value


class ReadsNumpy(Moved):
    def extra(self, rows, snapshot):
        return np.load(places.npy).sum()


class ReadsPickle(Moved):
    def extra(self, rows, snapshot):
        with open(places.pickle, "rb") as file:
            return pickle.load(file)


class Maps(Moved):
    def extra(self, rows, snapshot):
        with open(places.csv, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return len(mapped)


class Cats(Moved):
    def extra(self, rows, snapshot):
        return len(subprocess.run(["cat", places.csv], capture_output=True, check=False).stdout)


class Lists(Moved):
    def extra(self, rows, snapshot):
        return len(os.listdir(places.dataset))


class OnThePath(Moved):
    """Reads a data file in a folder that modules are imported from."""

    def extra(self, rows, snapshot):
        return float(Path(places.on_path).read_text())


class InSharedMemory(Moved):
    def extra(self, rows, snapshot):
        return float(Path(places.shared).read_text())


class Fetches(Moved):
    def extra(self, rows, snapshot):
        with socket.socket() as line:
            line.settimeout(1.0)
            try:
                line.connect(("127.0.0.1", 9))
            except OSError:
                return 0.0
        return 1.0


class Resolves(Moved):
    def extra(self, rows, snapshot):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            try:
                line.sendto(b"what comes next?", ("127.0.0.1", 9))
            except OSError:
                return 0.0
        return 0.0


class Swallows(Moved):
    """Is refused and answers as if nothing had been."""

    def extra(self, rows, snapshot):
        try:
            Path(places.toml).read_bytes()
        except OSError:
            pass
        return 0.0


class Ordered(Newest):
    def fit(self, rows, snapshot, *, seed):
        super().fit(rows, snapshot, seed=seed)
        self.mean = float(rows.y[-1])


class Nudged(Newest):
    """Depends on the order of its rows by a millionth."""

    def fit(self, rows, snapshot, *, seed):
        super().fit(rows, snapshot, seed=seed)
        self.mean += 1e-6 * float(rows.y[-1])


class Climbs(Moved):
    """Goes up the stack to whoever holds the plan."""

    def extra(self, rows, snapshot):
        frame = sys._getframe()
        while frame is not None:
            for value in list(frame.f_locals.values()):
                plan = value if hasattr(value, "outcomes") else getattr(value, "plan", None)
                if hasattr(plan, "outcomes"):
                    return float(np.nansum(plan.outcomes.value))
            frame = frame.f_back
        return 0.0


class Collects(Moved):
    """Finds any plan there is in memory."""

    def extra(self, rows, snapshot):
        plans = [one for one in gc.get_objects() if type(one).__name__ == "Plan"]
        return float(np.nansum(plans[0].outcomes.value)) if plans else 0.0


class Hoard:
    """A transformer that centres by all rows it has ever seen, not by those it is fitted on."""

    def fit(self, X, y=None):
        if not hasattr(builtins, "rows_hoarded"):
            builtins.rows_hoarded = []
        builtins.rows_hoarded.append(np.nanmean(X, axis=0))
        return self

    def transform(self, X):
        return X + np.mean(builtins.rows_hoarded, axis=0) ** 2


class Peeks:
    """A transformer that looks up what it adds to the rows it is asked about."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X + len(Path(places.toml).read_text())
