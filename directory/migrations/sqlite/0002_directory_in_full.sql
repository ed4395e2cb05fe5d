-- How much of the pool's load the shard is to take, as against the others.
ALTER TABLE shard ADD COLUMN weight INTEGER NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 1000);

-- What `password` holds: 'clear' (written by an older version; sealed when the database is next opened), 'sealed' by the
-- directory's key, or 'file', the path of the file that holds it.
ALTER TABLE shard ADD COLUMN password_form TEXT NOT NULL DEFAULT 'clear' CHECK (password_form IN ('clear', 'sealed', 'file'));

-- Grows with each change of the shard: of two answers about it, the one with the greater version is the newer.
ALTER TABLE shard ADD COLUMN version INTEGER NOT NULL DEFAULT 1;

-- 1: it had rows when it was registered, of customers that the directory did not know.
ALTER TABLE shard ADD COLUMN adopted INTEGER NOT NULL DEFAULT 0 CHECK (adopted IN (0, 1));

-- About how much it held when it last answered, how many customers were placed there then, and when that was
-- (milliseconds since 1970); and why it did not answer when it was last asked.
ALTER TABLE shard ADD COLUMN measured_rows      INTEGER;
ALTER TABLE shard ADD COLUMN measured_bytes     INTEGER;
ALTER TABLE shard ADD COLUMN measured_customers INTEGER;
ALTER TABLE shard ADD COLUMN measured_ms        INTEGER;
ALTER TABLE shard ADD COLUMN trouble            TEXT;

-- One row: a text sealed by the key of the passwords. Who cannot open it has another key.
CREATE TABLE seal (
    id    INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    proof TEXT    NOT NULL
) STRICT;
