-- +goose Up
-- Instants are microseconds since 1970 UTC; 0 means none.
CREATE TABLE runs (
    id                TEXT    NOT NULL PRIMARY KEY,
    job               TEXT    NOT NULL,
    state             TEXT    NOT NULL,
    phase             TEXT    NOT NULL,
    fingerprint       TEXT    NOT NULL,
    kind              TEXT    NOT NULL,
    plan              TEXT    NOT NULL,
    origin            TEXT    NOT NULL,
    due               BIGINT  NOT NULL,
    started           BIGINT  NOT NULL,
    updated           BIGINT  NOT NULL,
    ended             BIGINT  NOT NULL,
    status_url        TEXT    NOT NULL,
    kickoff_intent    BIGINT  NOT NULL,
    kickoff_date      BIGINT  NOT NULL,
    kickoffs          BIGINT  NOT NULL,
    ambiguous         BIGINT  NOT NULL,
    restarts          BIGINT  NOT NULL,
    resumes           BIGINT  NOT NULL,
    transaction_time  BIGINT  NOT NULL,
    listed            INTEGER NOT NULL,
    cancel_requested  INTEGER NOT NULL,
    error             TEXT    NOT NULL,
    class             TEXT    NOT NULL,
    hint              TEXT    NOT NULL,
    snapshot          TEXT    NOT NULL,
    location          TEXT    NOT NULL,
    stats             TEXT    NOT NULL
);
CREATE INDEX runs_by_job ON runs (job, id);

CREATE TABLE tasks (
    run       TEXT    NOT NULL REFERENCES runs (id),
    key       TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    type      TEXT    NOT NULL,
    ordinal   BIGINT  NOT NULL,
    count     BIGINT  NOT NULL,
    path      TEXT    NOT NULL,
    state     TEXT    NOT NULL,
    attempts  BIGINT  NOT NULL,
    bytes     BIGINT  NOT NULL,
    lines     BIGINT  NOT NULL,
    PRIMARY KEY (run, key)
);

CREATE TABLE conversions (
    run     TEXT   NOT NULL REFERENCES runs (id),
    sink    TEXT   NOT NULL,
    type    TEXT   NOT NULL,
    rows    BIGINT NOT NULL,
    output  TEXT   NOT NULL,
    PRIMARY KEY (run, sink, type)
);

CREATE TABLE watermarks (
    job       TEXT   NOT NULL,
    type      TEXT   NOT NULL,
    mark      BIGINT NOT NULL,
    snapshot  TEXT   NOT NULL,
    PRIMARY KEY (job, type)
);

CREATE TABLE overrides (
    job    TEXT   NOT NULL PRIMARY KEY,
    mark   BIGINT NOT NULL,
    made   BIGINT NOT NULL
);
