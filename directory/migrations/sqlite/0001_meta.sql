-- What the directory knows. Positions are whole numbers below 2^53.

-- The registered shards. Passwords stand here in clear: the file is made readable for its owner only.
CREATE TABLE shard (
    name       TEXT    NOT NULL PRIMARY KEY,
    flavor     TEXT    NOT NULL,
    host       TEXT    NOT NULL,
    port       INTEGER NOT NULL CHECK (port BETWEEN 0 AND 65535),
    "user"     TEXT    NOT NULL,
    password   TEXT    NOT NULL,
    "database" TEXT    NOT NULL,
    pool       TEXT    NOT NULL CHECK (pool IN ('shared', 'dedicated')),
    state      TEXT    NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'draining', 'closed')),
    -- How many customers are placed here: placement asks for it at each new customer, so it is not counted each time.
    customers  INTEGER NOT NULL DEFAULT 0,
    created_at TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT;

-- From this position on, the customer's events belong to that shard.
CREATE TABLE route (
    customer      TEXT    NOT NULL,
    from_position INTEGER NOT NULL,
    shard         TEXT    NOT NULL REFERENCES shard (name),
    PRIMARY KEY (customer, from_position)
) STRICT, WITHOUT ROWID;

CREATE INDEX route_shard ON route (shard);

-- Up to this position, strict placement has answered that the customer is unknown. That stays true for ever:
-- the events were dead-lettered. A later placement counts from beyond it.
CREATE TABLE refusal (
    customer TEXT    NOT NULL PRIMARY KEY,
    through  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
