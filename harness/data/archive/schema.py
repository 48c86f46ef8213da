"""The tables of an archive."""

from __future__ import annotations

FORMAT = 1
PACKED, RUNS = "USING COMPRESSION bitpacking", "USING COMPRESSION rle"
"""What the engine would choose for numbers and flags, or as small, after trying all there are on every row."""
STATED = f"""
    code INTEGER {PACKED}, period INTEGER {PACKED}, published BIGINT {PACKED}, value DOUBLE,
    availability TINYINT {RUNS}, vintage BIGINT {PACKED}, batch INTEGER {PACKED}"""
TABLES = f"""
CREATE TABLE meta (format INTEGER);
CREATE TABLE series (
    code INTEGER, id VARCHAR, frequency VARCHAR, zone VARCHAR, calendar VARCHAR, unit VARCHAR, decimals INTEGER,
    scale VARCHAR, licence VARCHAR, spec VARCHAR);
CREATE TABLE changes ({STATED});
CREATE TABLE restatements ({STATED});
CREATE TABLE publications (
    code INTEGER {PACKED}, published BIGINT {PACKED}, first INTEGER {PACKED}, last INTEGER {PACKED},
    complete BOOLEAN {RUNS}, captured BOOLEAN {RUNS}, countable BOOLEAN {RUNS}, availability TINYINT {RUNS},
    vintage BIGINT {PACKED}, batch INTEGER {PACKED});
CREATE TABLE forecasts_in (
    source VARCHAR, code INTEGER, issued BIGINT, cutoff BIGINT, period INTEGER, quantile DOUBLE, value DOUBLE,
    conditioning VARCHAR, backfilled BOOLEAN, batch INTEGER);
CREATE TABLE batches (
    batch INTEGER, kind VARCHAR, source VARCHAR, coverage VARCHAR, sha256 VARCHAR, rows_in BIGINT, kept BIGINT,
    duplicates BIGINT, set_aside BIGINT, known_through BIGINT, cleaning VARCHAR, ingested BIGINT);
CREATE TABLE set_aside (
    batch INTEGER, series_id VARCHAR, period VARCHAR, published VARCHAR, value DOUBLE, reason VARCHAR);
CREATE TABLE known (code INTEGER, known_through BIGINT);
"""
LATER_TABLES = {
    "events": "code INTEGER, kind VARCHAR, ex INTEGER, value DOUBLE, announced BIGINT, batch INTEGER",
    "members": "universe VARCHAR, code INTEGER, first INTEGER, last INTEGER, announced BIGINT, batch INTEGER",
    "cleaning": "batch INTEGER, place BIGINT, step VARCHAR, kind VARCHAR, parameters VARCHAR, rows_in BIGINT,"
    " rows_out BIGINT, touched BIGINT, hash_before VARCHAR, hash_after VARCHAR",
    "touched": "batch INTEGER, step VARCHAR, line BIGINT, series VARCHAR, period VARCHAR, published VARCHAR,"
    " before VARCHAR, after VARCHAR, reason VARCHAR, decided VARCHAR",
    "assertions": "batch INTEGER, place BIGINT, assertion VARCHAR, kind VARCHAR, parameters VARCHAR, severity VARCHAR,"
    " verdict VARCHAR, rows BIGINT, failed BIGINT, unknown BIGINT, hash VARCHAR",
    "failures": "batch INTEGER, assertion VARCHAR, severity VARCHAR, line BIGINT, series VARCHAR, period VARCHAR,"
    " published VARCHAR, before VARCHAR, after VARCHAR, reason VARCHAR, decided VARCHAR",
    "raw_files": "batch INTEGER, name VARCHAR, sha256 VARCHAR",
    # which series are sealed from when, and the last batch that was there when they were
    "seals": "seal VARCHAR, cut BIGINT, last INTEGER, code INTEGER",
    "originals": "batch INTEGER, name VARCHAR, sha256 VARCHAR",
    "refusals": "refusal INTEGER, dataset VARCHAR, source VARCHAR, sha256 VARCHAR, reason VARCHAR, refused BIGINT",
    "refused_assertions": "refusal INTEGER, place BIGINT, assertion VARCHAR, kind VARCHAR, parameters VARCHAR,"
    " severity VARCHAR, verdict VARCHAR, rows BIGINT, failed BIGINT, unknown BIGINT, hash VARCHAR",
    "refused_failures": "refusal INTEGER, assertion VARCHAR, severity VARCHAR, line BIGINT, series VARCHAR,"
    " period VARCHAR, published VARCHAR, before VARCHAR, after VARCHAR, reason VARCHAR, decided VARCHAR",
}
"""Made by the first write: archives that were begun without them stay readable."""
