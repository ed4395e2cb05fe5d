-- What the directory knows. Positions are whole numbers below 2^53. Names are compared as bytes, as in SQLite.

-- The registered shards.
CREATE TABLE shard (
    name       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    flavor     TEXT   NOT NULL,
    host       TEXT   NOT NULL,
    port       BIGINT NOT NULL CHECK (port BETWEEN 0 AND 65535),
    "user"     TEXT   NOT NULL,
    -- What `password` holds: 'sealed' by the directory's key, or 'file', the path of the file that holds it.
    password   TEXT   NOT NULL,
    password_form TEXT NOT NULL CHECK (password_form IN ('clear', 'sealed', 'file')),
    "database" TEXT   NOT NULL,
    pool       TEXT   NOT NULL CHECK (pool IN ('shared', 'dedicated')),
    state      TEXT   NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'draining', 'closed')),
    -- How much of the pool's load the shard is to take, as against the others.
    weight     BIGINT NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 1000),
    -- How many customers are placed here: placement asks for it at each new customer, so it is not counted each time.
    customers  BIGINT NOT NULL DEFAULT 0,
    -- Grows with each change of the shard: of two answers about it, the one with the greater version is the newer.
    version    BIGINT NOT NULL DEFAULT 1,
    -- 1: it had rows when it was registered, of customers that the directory did not know.
    adopted    BIGINT NOT NULL DEFAULT 0 CHECK (adopted IN (0, 1)),
    -- About how much it held when it last answered, how many customers were placed there then, and when that was
    -- (milliseconds since 1970); and why it did not answer when it was last asked.
    measured_rows      BIGINT,
    measured_bytes     BIGINT,
    measured_customers BIGINT,
    measured_ms        BIGINT,
    trouble            TEXT,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- From this position on, the customer's events belong to that shard.
CREATE TABLE route (
    customer      TEXT COLLATE "C" NOT NULL,
    from_position BIGINT NOT NULL,
    shard         TEXT COLLATE "C" NOT NULL REFERENCES shard (name),
    PRIMARY KEY (customer, from_position)
);

CREATE INDEX route_shard ON route (shard);

-- Up to this position, strict placement has answered that the customer is unknown. That stays true for ever:
-- the events were dead-lettered. A later placement counts from beyond it.
CREATE TABLE refusal (
    customer TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    through  BIGINT NOT NULL
);

-- One row: a text sealed by the key of the passwords. Who cannot open it has another key.
CREATE TABLE seal (
    id    BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    proof TEXT   NOT NULL
);
